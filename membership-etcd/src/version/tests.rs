use super::*;

#[test]
fn only_mended_versions_are_without_a_warning() {
    for good in ["3.5.23", "3.5.24", "3.6.5", "3.6.10", "3.7.0", "4.0.0", "3.7.0-alpha.1"] {
        assert_eq!(warning(good), None, "{good}");
    }
    for bad in ["3.4.23", "3.5.22", "3.6.4", "2.3.8", "3.5", "", "x.y.z"] {
        assert!(warning(bad).is_some(), "{bad}");
    }
}
