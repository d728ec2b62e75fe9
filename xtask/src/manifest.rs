//! As much of manifests and lock files as the checks need, read line by line.
//!
//! One key a line, tables under their headings: the layout of this workspace's manifests, not all of TOML.

/// The name of the package.
pub(crate) fn package_name(manifest: &str) -> Option<&str> {
    let (_, _, value) = entries(manifest).find(|(table, key, _)| *table == "package" && *key == "name")?;
    value.split('"').nth(1)
}

/// The directories that `[workspace]` lists as members.
pub(crate) fn members(manifest: &str) -> Vec<&str> {
    let Some(start) = manifest.find("\nmembers") else { return Vec::new() };
    let list = &manifest[start..];
    let Some(end) = list.find(']') else { return Vec::new() };
    list[..end].split('"').skip(1).step_by(2).collect()
}

/// Everything the package depends on, of whatever kind, as it is called in the manifest.
pub(crate) fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let is_list = |table: &str| table == "dependencies" || table.ends_with("-dependencies");
    let listed = entries(manifest).filter_map(move |(table, key, _)| {
        let last = table.rsplit('.').next().unwrap_or(table);
        is_list(last).then(|| key.split('.').next().unwrap_or(key))
    });
    // `[dependencies.name]`, a table for each.
    let tables = manifest.lines().filter_map(table).filter_map(move |table| {
        let (before, name) = table.rsplit_once('.')?;
        is_list(before.rsplit('.').next().unwrap_or(before)).then_some(name)
    });
    listed.chain(tables)
}

/// Names and versions in a lock file.
pub(crate) fn locked_packages(lock: &str) -> impl Iterator<Item = (&str, &str)> {
    lock.split("[[package]]").skip(1).filter_map(|package| {
        let value = |key| package.lines().find_map(|line| line.strip_prefix(key))?.split('"').nth(1);
        Some((value("name = ")?, value("version = ")?))
    })
}

/// Table, key and the rest of every line `key = …`.
fn entries(manifest: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut current = "";
    manifest.lines().filter_map(move |line| {
        if let Some(table) = table(line) {
            current = table;
            return None;
        }
        let (key, value) = line.split_once('=')?;
        let key = key.trim();
        let is_entry = !key.starts_with(['#', '{']);
        is_entry.then(|| (current, key.trim_matches('"'), value))
    })
}

fn table(line: &str) -> Option<&str> {
    let inner = line.trim_start().strip_prefix('[')?;
    Some(inner[..inner.find(']')?].trim_matches('['))
}

#[cfg(test)]
mod tests;
