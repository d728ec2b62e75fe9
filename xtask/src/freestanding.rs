//! Link test: `xtask/freestanding` is built, run, and built again with what must not be there.

use std::path::Path;
use std::process::Command;

use crate::command::{check_succeeds, run, said};
use crate::outside::FREESTANDING;

/// Something that must keep the program from being built.
struct Control {
    feature: &'static str,
    /// What the compiler or the linker says when it fails for the right reason; all of them.
    says: &'static [&'static str],
}

const CONTROLS: &[Control] = &[
    Control { feature: "control-alloc", says: &["no global memory allocator found"] },
    Control { feature: "control-core-alloc", says: &["no global memory allocator found"] },
    Control { feature: "control-std", says: &["duplicate lang item", "panic_impl", "`std`"] },
    Control { feature: "control-libc", says: &["linking with", "undefined", "malloc"] },
];

/// Is the core free of `std`, `alloc` and libc, and would this check have noticed if not?
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        return Err("the program starts by itself only on Linux, x86-64 or AArch64".to_owned());
    }
    FREESTANDING.check_lock(root)?;
    check_succeeds(&mut build(root), "the program does not link")?;
    let program = FREESTANDING.target(root).join("release").join(FREESTANDING.name);
    check_succeeds(&mut Command::new(program), "the program links but fails")?;
    println!("links and runs without std, alloc and libc");

    FREESTANDING.check_text(root)?;

    for control in CONTROLS {
        check_control(root, control)?;
        println!("with {} it does not build, as it should", control.feature);
    }
    Ok(())
}

fn check_control(root: &Path, control: &Control) -> Result<(), String> {
    let Control { feature, says } = control;
    let output = run(build(root).args(["--features", feature]))?;
    let said = said(&output);
    if output.status.success() {
        return Err(format!("with {feature} the program still builds: this check would notice nothing"));
    }
    match says.iter().find(|words| !said.contains(**words)) {
        Some(words) => Err(format!("with {feature} it fails, but nothing says \"{words}\":\n{said}")),
        None => Ok(()),
    }
}

fn build(root: &Path) -> Command {
    let mut command = FREESTANDING.cargo(root, "build");
    command.args(["--release", "--locked"]);
    command
}
