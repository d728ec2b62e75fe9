use super::*;

#[test]
fn nothing_ends_the_script_from_inside() {
    assert_eq!(quoted("a \"b\" \\ </script>\n"), r#""a \"b\" \\ \u003c/script\u003e\u000a""#);
}

#[test]
fn a_run_is_on_its_page_and_nothing_else_is_needed() {
    let options = Options { watch: Some(record), nodes: (3, 3), ..Options::default() };
    let result = examine(11, &options);
    let recording = take();
    assert_eq!(recording.nodes, 3);
    let lines =
        [recording.messages(), recording.transfers(), recording.marks.clone(), recording.phases.clone()];
    assert!(lines.iter().all(|lines| !lines.is_empty()), "messages, transfers, marks and phases are there");
    let page = page(11, &recording, &result);
    assert!(page.contains("<title>Lockmaster, seed 11: every rule held</title>"));
    assert!(!page.contains(RUN) && !page.contains("http") && !page.contains("src="), "nothing is fetched");
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(take().marks.is_empty(), "what was taken is gone");
}

#[test]
fn who_watches_changes_nothing() {
    for seed in 0..20 {
        let alone = examine(seed, &Options::default()).expect("it holds");
        let watched = examine(seed, &Options { watch: Some(record), ..Options::default() });
        assert_eq!(watched.expect("it holds"), alone);
        let _seen = take();
    }
}
