//! Link test: `xtask/freestanding` is built, run, and built again with what must not be there; and nothing in the core, used by
//! the program or not, wants more than `core`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{check_succeeds, run, said, told};
use crate::outside::FREESTANDING;
use crate::symbols::Symbols;
use crate::verify;

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

/// What the compiler calls without being asked. Whoever has no libc defines them, as the program does.
const MEMORY: [&str; 5] = ["memcpy", "memmove", "memset", "memcmp", "bcmp"];

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
    let said = told(&mut Command::new(program))?;
    let example = ["run", "-p", "lockmaster-core", "--example", "superloop", "--locked", "--quiet"];
    let said_on_host = told(verify::cargo(root).args(example))?;
    if said.is_empty() || said != said_on_host {
        return Err(format!(
            "without anything below it the program says\n{said}\nand on the host\n{said_on_host}"
        ));
    }
    print!("{said}");
    println!("links and runs without std, alloc and libc, and says the same as on the host");

    FREESTANDING.check_text(root)?;

    for control in CONTROLS {
        check_control(root, control)?;
        println!("with {} it does not build, as it should", control.feature);
    }
    check_symbols(root)
}

/// The program has only what it uses. This looks at all of the core's code.
fn check_symbols(root: &Path) -> Result<(), String> {
    let (count, outside) = symbols_wanted(root, "")?;
    if let Some(name) = outside.first() {
        return Err(format!("the core wants {name} and {} other names from elsewhere", outside.len() - 1));
    }
    let (_, outside) = symbols_wanted(root, "alloc")?;
    if !outside.iter().any(|name| name.contains("__rust_alloc")) {
        return Err("with the feature alloc nothing allocates: this check would notice nothing".to_owned());
    }
    println!("none of the core's {count} symbols wants more than `core`; with alloc, {} do", outside.len());
    Ok(())
}

/// How many names the core with these features defines, and what it wants of neither `core` nor its own dependencies.
fn symbols_wanted(root: &Path, features: &str) -> Result<(usize, BTreeSet<String>), String> {
    let host = told(Command::new(verify::rustc()).args(["--print", "host-tuple"]))?;
    let host = host.trim();
    let mut command = verify::cargo(root);
    // With a target, what the build itself runs (macros) goes elsewhere. Without unwinding there is nothing that only
    // unwinding wants.
    command.args(["rustc", "-p", "lockmaster-core", "--lib", "--release", "--locked", "--quiet"]);
    command.args(["--no-default-features", "--features", features, "--target", host]);
    command.args(["--message-format", "json"]);
    command.args(["--config", "profile.release.lto=false", "--config", "profile.release.panic='abort'"]);
    command.env("CARGO_TARGET_DIR", verify::target(root).join("symbols")).env_remove("RUSTFLAGS");
    let messages = told(&mut command)?;
    let below = format!("/{host}/");
    let libraries = messages.split('"').filter(|word| word.ends_with(".rlib") && word.contains(&below));
    let libraries: BTreeSet<PathBuf> = libraries.map(PathBuf::from).collect();
    let ours = symbols_of(&libraries)?;

    let libdir = told(Command::new(verify::rustc()).args(["--print", "target-libdir"]))?;
    let libdir = fs::read_dir(libdir.trim()).map_err(|error| format!("{}: {error}", libdir.trim()))?;
    let toolchain = libdir.flatten().map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".rlib") && (name.starts_with("libcore-") || name.starts_with("libcompiler_builtins-"))
    });
    let toolchain = symbols_of(&toolchain.collect())?;

    let is_there = |name: &String| ours.defined.contains(name) || toolchain.defined.contains(name);
    let outside = ours.wanted.iter().filter(|name| !is_there(name) && !MEMORY.contains(&name.as_str()));
    Ok((ours.defined.len(), outside.cloned().collect()))
}

fn symbols_of(libraries: &BTreeSet<PathBuf>) -> Result<Symbols, String> {
    let mut symbols = Symbols::default();
    for library in libraries {
        let bytes = fs::read(library).map_err(|error| format!("{}: {error}", library.display()))?;
        let read = symbols.add_archive(&bytes);
        read.ok_or_else(|| format!("{} is no archive of objects", library.display()))?;
    }
    if symbols.defined.is_empty() {
        return Err("no symbols were found: nothing was checked".to_owned());
    }
    Ok(symbols)
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
