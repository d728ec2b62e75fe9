//! The image test: `xtask/baremetal` runs the superloop and the same seeds of the simulator on the host and on an emulated
//! Cortex-M4, and must say the same.
//!
//! It needs a compiler with the sources of `core`, a linker and an emulator, and installs none of them.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{check_succeeds, run_within, said, told};
use crate::outside::BAREMETAL;
use crate::verify::{self, Done};

const TARGET: &str = "thumbv7em-none-eabi";
const EMULATOR: &str = "qemu-system-arm";
/// Debian's compiler with its sources, if the toolchain in use has none: packages rustc-web and rust-web-src.
const RUSTC: &str = "/usr/bin/rustc";
/// A processor that has lost its way runs for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the test needs from the machine.
struct Tools {
    rustc: PathBuf,
    linker: PathBuf,
}

/// Does the program do the same on the board? Gives the reason if the machine cannot tell.
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn check(root: &Path) -> Result<Done, String> {
    BAREMETAL.check_lock(root)?;
    BAREMETAL.check_text(root)?;
    let host = |first: &str| {
        let mut command = BAREMETAL.cargo(root, "run");
        told(command.args(["--release", "--locked", "--quiet", "--", first]))
    };
    let expected = host("1")?;
    if host("2")? == expected {
        return Err("other seeds say the same: this check would notice nothing".to_owned());
    }

    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(missing) => return Ok(Done::Skipped(missing)),
    };
    check_succeeds(&mut tools.build(root), "the image does not link")?;
    let image = BAREMETAL.target(root).join(TARGET).join("release").join(BAREMETAL.name);
    let shown = emulate(&image)?;
    if shown != expected {
        return Err(format!("the board says\n{shown}\nand the host\n{expected}"));
    }
    let seeds = expected.lines().filter(|line| line.starts_with("seed ")).count();
    println!(
        "{seeds} seeds and the superloop do the same on {TARGET} and on the host, in records of the same bytes"
    );
    Ok(Done::Passed)
}

impl Tools {
    /// An error is what is missing.
    fn find() -> Result<Self, String> {
        let has_emulator = Command::new(EMULATOR).arg("--version").output().is_ok();
        if !has_emulator {
            return Err(format!("{EMULATOR} is not installed"));
        }
        let own = verify::rustc();
        let with_sources = [own.clone(), PathBuf::from(RUSTC)].into_iter().find(|rustc| {
            sysroot(rustc).is_some_and(|root| root.join("lib/rustlib/src/rust/library/core").is_dir())
        });
        let rustc = with_sources.ok_or("no compiler has the sources of `core` (rustc-web, rust-web-src)")?;
        let with_toolchain = sysroot(&own).and_then(|root| {
            let hosts = root.join("lib/rustlib").read_dir().ok()?;
            let mut linkers = hosts.flatten().map(|host| host.path().join("bin/rust-lld"));
            linkers.find(|linker| linker.is_file())
        });
        let linker =
            with_toolchain.or_else(|| Some(PathBuf::from("/usr/bin/ld.lld")).filter(|lld| lld.is_file()));
        let linker = linker.ok_or("no linker for the board: neither rust-lld nor ld.lld (lld)")?;
        Ok(Self { rustc, linker })
    }

    fn build(&self, root: &Path) -> Command {
        let mut command = BAREMETAL.cargo(root, "build");
        command.args(["--release", "--locked", "--target", TARGET, "-Zbuild-std=core,alloc"]);
        // Building `core` is not stable, but has worked the same for years.
        command.env("RUSTC", &self.rustc).env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTFLAGS");
        command.env("CARGO_TARGET_THUMBV7EM_NONE_EABI_LINKER", &self.linker);
        command
    }
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

/// What the board prints until it ends.
fn emulate(image: &Path) -> Result<String, String> {
    let mut command = Command::new(EMULATOR);
    command.args(["-cpu", "cortex-m4", "-machine", "mps2-an386", "-nographic", "-monitor", "none"]);
    command.args(["-serial", "null", "-semihosting-config", "enable=on,target=native", "-kernel"]).arg(image);
    let output = run_within(PATIENCE, &mut command)?;
    if !output.status.success() {
        return Err(format!("the board ended with {}: {}", output.status, said(&output)));
    }
    // The emulator writes what the program says to the standard error.
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}
