use super::*;
use crate::demo::tests::plan;

#[test]
fn a_seed_gives_the_same_operations_again() {
    let operations = |plan: &Plan, task| {
        let mut workload = Workload::new(plan, task);
        (0..100).map(|_| workload.next()).collect::<Vec<_>>()
    };
    let plan = plan();
    assert_eq!(operations(&plan, 1), operations(&plan, 1));
    assert_ne!(operations(&plan, 1), operations(&plan, 2));
    assert_ne!(operations(&plan, 1), operations(&Plan { node: 2, ..plan.clone() }, 1));
    assert_ne!(operations(&plan, 1), operations(&Plan { seed: 2, ..plan.clone() }, 1));
}

/// Checks how many of 10000 page choices are hot and how many operations are audits, to within a few hundredths.
fn check(skew: f64, read_share: f64, pages: u32) {
    let plan = Plan { skew, read_share, pages, ..plan() };
    let mut workload = Workload::new(&plan, 1);
    let (mut audits, mut hot, mut choices) = (0.0, 0.0, 0.0);
    for _ in 0..10_000 {
        let chosen = match workload.next() {
            Operation::Audit(page) => {
                audits += 1.0;
                vec![page]
            }
            Operation::Transfer { from, to, amount } => {
                assert!((1..=AMOUNT_MAX).contains(&amount));
                vec![from.page, to.page]
            }
        };
        for page in chosen {
            assert!(page.0 < pages);
            choices += 1.0;
            hot += f64::from(u8::from(page.0 < pages.div_ceil(10)));
        }
    }
    let skew = if pages == 1 { 1.0 } else { skew };
    assert!((audits / 10_000.0 - read_share).abs() < 0.03);
    assert!((hot / choices - skew).abs() < 0.03);
}

#[test]
fn shares_are_kept() {
    check(0.8, 0.5, 256);
    check(0.0, 1.0, 256);
    check(1.0, 0.0, 256);
    check(0.1, 0.5, 10);
    check(0.5, 0.5, 2);
    check(0.5, 0.5, 1);
}
