//! Makes the authority of a cluster, and a certificate for each of its nodes.

mod authority;
mod files;

use std::path::{Path, PathBuf};

use clap::{Subcommand, value_parser};
use lockmaster_tokio::{NodeId, TlsConfig, TlsError, cluster_domain, node_name};

use self::authority::{Authority, Made};
use self::files::{Draft, read, write_all};
use crate::{Failure, Verdict, secret};

/// The authority's own key, certificate and cluster.
const KEY: &str = "ca.key";
const CERTIFICATE: &str = "ca.pem";
const CLUSTER: &str = "cluster";

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make the authority of a cluster
    ///
    /// Writes `ca.key`, the secret with which certificates are signed; `ca.pem`, the authority's certificate, by which
    /// every node knows the others; and `cluster`, the cluster's name. Keep the directory off the nodes: who has the key
    /// can be any node. Nothing is overwritten.
    Init {
        /// Directory of the authority; made if it is not there
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Name of the cluster, the same that its nodes are started with
        #[arg(long, value_name = "NAME", default_value = "lockmaster")]
        cluster: String,
    },
    /// Make the key and the certificate of one node
    ///
    /// Writes `ca.pem`, `cert.pem` and `key.pem`, which the node is started with. Nothing is overwritten.
    Issue {
        /// Directory of the authority, as `ca init` has made it
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Number of the node
        #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..65_535))]
        node: u16,
        /// Directory for the three files; `node-N` in that of the authority unless it is named
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// How long the certificate is valid
        #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = value_parser!(u16).range(1..=3650))]
        days: u16,
    },
}

pub(crate) fn run(command: &CaCommand) -> Result<Verdict, Failure> {
    match command {
        CaCommand::Init { dir, cluster } => init(dir, cluster)?,
        CaCommand::Issue { dir, node, out, days } => {
            let out = out.clone().unwrap_or_else(|| dir.join(format!("node-{node}")));
            issue(dir, NodeId(*node), &out, *days)?;
        }
    }
    Ok(Verdict::Clean)
}

fn init(directory: &Path, cluster: &str) -> Result<(), Failure> {
    let domain = cluster_domain(cluster).map_err(|error| Failure::Usage(error.to_string()))?;
    let Made { certificate, key, until } = Authority::found(&domain)?;
    let drafts = [
        Draft::secret(directory.join(KEY), &key),
        Draft::open(directory.join(CERTIFICATE), &certificate),
        Draft::open(directory.join(CLUSTER), cluster),
    ];
    write_all(directory, &drafts)?;
    let directory = directory.display();
    println!("authority    of the cluster {cluster}, in {directory}, until {until}");
    println!("key          {directory}/{KEY}: keep it off the nodes, who has it can be any node");
    println!("next         lockmaster ca issue --dir {directory} --node 1");
    Ok(())
}

fn issue(directory: &Path, node: NodeId, out: &Path, days: u16) -> Result<(), Failure> {
    let cluster = read(&directory.join(CLUSTER))?;
    let certificate_of_authority = read(&directory.join(CERTIFICATE))?;
    let key_of_authority = secret::read(&directory.join(KEY))?;
    let unusable = |error: TlsError| Failure::Broken(with_causes(&error));

    let domain = cluster_domain(&cluster).map_err(unusable)?;
    let name = node_name(&cluster, node).map_err(unusable)?;
    let authority = Authority::restore(&domain, &key_of_authority)
        .map_err(|reason| Failure::Broken(format!("{}: {reason}", directory.join(KEY).display())))?;
    let Made { certificate, key, until } = authority.issue(node, &name, days)?;
    // What the node will be asked when it starts.
    let (ca, chain) = (certificate_of_authority.as_bytes(), certificate.as_bytes());
    let tls = TlsConfig::from_pem(ca, chain, key.as_bytes()).map_err(unusable)?;
    tls.check(&cluster, node).map_err(unusable)?;

    let drafts = [
        Draft::secret(out.join("key.pem"), &key),
        Draft::open(out.join("cert.pem"), &certificate),
        Draft::open(out.join("ca.pem"), &certificate_of_authority),
    ];
    write_all(out, &drafts)?;
    let out = out.display();
    println!("certificate  of {name}, in {out}, until {until}");
    println!(
        "next         copy {out} to the machine of node {}, the key readable by its owner alone, and",
        node.0
    );
    println!("             start the node with `.tls(TlsConfig::from_directory(…)?)`");
    Ok(())
}

/// An error and what is behind it, on one line.
fn with_causes(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
