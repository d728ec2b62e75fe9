//! A node that meets the others in etcd.

use lockmaster_tokio::Builder;

use crate::Failure;
use crate::args::NodeArgs;

/// Has the node join by etcd.
#[cfg(feature = "etcd")]
pub(super) fn join(builder: Builder, args: &NodeArgs) -> Result<Builder, Failure> {
    use core::time::Duration;
    use std::fs::read_to_string;
    use std::path::Path;

    use lockmaster_etcd::{Etcd, EtcdOptions, EtcdTls};

    use super::reason;
    use crate::secret;

    let read = |path: &Path| read_to_string(path).map_err(Failure::unusable(path));
    let Some(state) = &args.etcd_args.etcd_state else { unreachable!("it is required") };
    let ttl = Duration::from_secs(args.etcd_args.etcd_ttl);
    let mut options = EtcdOptions::new(args.etcd.iter().cloned(), state).ttl(ttl);
    if let Some(authority) = &args.etcd_args.etcd_ca {
        let mut tls = EtcdTls::new(read(authority)?);
        if let (Some(certificate), Some(key)) = (&args.etcd_args.etcd_cert, &args.etcd_args.etcd_key) {
            tls = tls.identity(read(certificate)?, secret::read(key)?);
        }
        options = options.tls(tls);
    }
    if let (Some(user), Some(file)) = (&args.etcd_args.etcd_user, &args.etcd_args.etcd_password_file) {
        options = options.user(user, secret::read_line(file)?);
    }
    let etcd = Etcd::new(options).map_err(|error| Failure::Usage(reason(&error)))?;
    Ok(builder.join(etcd))
}

#[cfg(not(feature = "etcd"))]
pub(super) fn join(_: Builder, _: &NodeArgs) -> Result<Builder, Failure> {
    let text = "this program was built without etcd: build it with the feature `etcd`, or use --dir";
    Err(Failure::Usage(text.to_owned()))
}
