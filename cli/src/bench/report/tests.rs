use std::fs;

use super::*;
use crate::bench::tests::{args, run};

/// The page's tags all close in order, its attributes are quoted, and there is no `&` or `<` but those of marks.
fn is_well_formed(page: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let body = page.strip_prefix("<!doctype html>").ok_or("no page")?;
    let mut rest = body;
    while let Some((text, after)) = rest.split_once('<') {
        check_text(text)?;
        let (tag, after) = after.split_once('>').ok_or("a tag does not end")?;
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
            continue;
        }
        let inside = tag.strip_suffix('/').unwrap_or(tag);
        let (name, attributes) = inside.split_once(' ').unwrap_or((inside, ""));
        check_attributes(attributes)?;
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    check_text(rest)?;
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} stay open")) }
}

fn check_text(text: &str) -> Result<(), String> {
    let is_mark =
        |rest: &str| ["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|mark| rest.starts_with(mark));
    if text.contains(['<', '>']) || text.split('&').skip(1).any(|rest| !is_mark(rest)) {
        return Err(format!("not escaped: {text}"));
    }
    Ok(())
}

/// `name="value"`, again and again.
fn check_attributes(mut attributes: &str) -> Result<(), String> {
    while !attributes.trim().is_empty() {
        let wrong = || format!("no attribute: {attributes}");
        let (name, after) = attributes.trim_start().split_once("=\"").ok_or_else(wrong)?;
        let (value, after) = after.split_once('"').ok_or_else(wrong)?;
        if name.is_empty() || name.contains([' ', '"', '\'']) {
            return Err(wrong());
        }
        check_text(value)?;
        attributes = after;
    }
    Ok(())
}

/// A page of every workload.
fn whole() -> (Run, String) {
    let args = args("");
    let run = run(&args);
    let page = page(&args, &run);
    (run, page)
}

#[test]
fn the_check_of_pages_sees_what_is_wrong() {
    for wrong in
        ["<p>", "</p>", "<p><b></p></b>", "<p>a & b</p>", "<p a=b></p>", "<p a=\"<\"></p>", "<p>a > b</p>"]
    {
        assert!(is_well_formed(&format!("<!doctype html>{wrong}")).is_err(), "{wrong}");
    }
    assert_eq!(is_well_formed("<!doctype html><p a=\"b\" c=\"&lt;\">&amp;<br/></p>"), Ok(()));
}

#[test]
fn the_page_is_whole_and_needs_nothing_else() {
    let (_, page) = whole();
    assert_eq!(is_well_formed(&page), Ok(()));
    for outside in [
        "http", "//", "src=", "href=", "url(", "@import", "<script", "<link", "NaN", "inf\"", "@RUN",
        "@PARTS",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("<html lang=\"en\">") && page.contains("prefers-color-scheme: dark"));
}

#[test]
fn the_page_has_what_the_table_has() {
    let (run, page) = whole();
    assert!(page.contains("in cluster orders &amp; &lt;more&gt;, 4 members"));
    assert!(
        page.contains("7 locks REFUSED, the first one because it was &lt;full&gt; &amp; &quot;more&quot;")
    );
    for title in &TITLES[1..] {
        assert!(page.contains(&format!("<th scope=\"col\">{title}</th>")), "{title}");
    }
    for figures in &run.figures {
        let [name, cells @ ..] = figures.cells();
        let cells = cells.map(|cell| format!("<td>{cell}</td>")).concat();
        assert!(page.contains(&format!("<tr><th scope=\"row\">{name}</th>{cells}</tr>")), "{name}");
        assert!(figures.notes().iter().all(|note| page.contains(&escaped(note))), "{name}");
    }
}

#[test]
fn every_chart_has_a_title_words_and_marks() {
    let (run, page) = whole();
    let charts = 2 * run.figures.len();
    for (part, count) in [
        ("<svg ", charts),
        ("role=\"img\" aria-labelledby=", charts),
        ("<title id=", charts),
        ("<desc id=", charts),
    ] {
        assert_eq!(page.matches(part).count(), count, "{part}");
    }
    // Of every workload: slots that moved, a view that came, four times that are marked.
    for (part, count) in
        [("class=\"move\"", 1), ("class=\"view\"", 1), (">view 4</text>", 1), ("class=\"mark\"", 4)]
    {
        assert_eq!(page.matches(part).count(), count * run.figures.len(), "{part}");
    }
    let names: Vec<_> =
        page.match_indices(" id=\"").map(|(at, _)| page[at + 5..].split('"').next()).collect();
    assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)), "{names:?}");
}

#[test]
fn what_was_never_done_has_a_page_too() {
    let args = args("--workload remote");
    let mut run = run(&args);
    run.figures[0].seen = Default::default();
    let page = page(&args, &run);
    assert_eq!(is_well_formed(&page), Ok(()));
    assert!(page.contains("There was none.") && page.contains("<td>-</td>"), "{page}");
}

#[test]
fn a_page_has_its_name_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("page.html");
    fs::write(&path, "before").unwrap();
    let page = Page::begin(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    page.end("after").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "after");
    // One that is never written leaves nothing.
    drop(Page::begin(&path).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "after");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn where_no_page_can_be_is_said_before_anything_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link.html");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    for path in
        [directory.path().to_owned(), directory.path().join("none/page.html"), link, "/dev/null".into()]
    {
        let failure = Page::begin(&path).err().unwrap();
        assert!(
            matches!(&failure, Failure::Usage(text) if text.contains(&*path.to_string_lossy())),
            "{failure}"
        );
    }
}
