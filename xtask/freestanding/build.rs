//! Link arguments: no start files, no libraries, nothing left for a loader to find.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for arg in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--no-undefined"] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
}
