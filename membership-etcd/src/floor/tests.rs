use super::*;

#[test]
fn a_floor_comes_back_as_it_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = FloorFile::new(&folder.path().join("new"), ClusterId(1), Some(NodeId(2)));
    assert_eq!(file.read().unwrap(), Floor::default());
    for epoch in [7, 8] {
        let floor = Floor { epoch: Epoch(epoch), digest: u64::MAX - 1, incarnation: Incarnation(99) };
        file.write(floor).unwrap();
        assert_eq!(file.read().unwrap(), floor);
    }
}

#[test]
fn nodes_and_clusters_have_files_of_their_own() {
    let folder = Path::new("x");
    let names = [
        FloorFile::new(folder, ClusterId(1), Some(NodeId(2))),
        FloorFile::new(folder, ClusterId(1), Some(NodeId(3))),
        FloorFile::new(folder, ClusterId(2), Some(NodeId(2))),
        FloorFile::new(folder, ClusterId(1), None),
    ];
    let paths: std::collections::BTreeSet<&Path> = names.iter().map(FloorFile::path).collect();
    assert_eq!(paths.len(), 4);
}

#[test]
fn a_file_that_is_not_whole_is_an_error_and_no_floor() {
    let folder = tempfile::tempdir().unwrap();
    let file = FloorFile::new(folder.path(), ClusterId(1), None);
    for text in ["", "7", "7 ab 3", "7 ab\n", "7 ab 3 4\n", "7 xy 3\n", "-1 ab 3\n"] {
        fs::write(file.path(), text).unwrap();
        assert_eq!(file.read().unwrap_err().kind(), io::ErrorKind::InvalidData, "{text:?}");
    }
}
