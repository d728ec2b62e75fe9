use super::*;

fn options_of(line: &str) -> Options {
    let args = Args::try_parse_from(line.split(' ')).expect("the line makes sense");
    match args.command {
        Command::Run(args) => args.shape.options(),
        Command::Soak(args) => args.shape.options(),
    }
}

#[test]
fn the_command_that_repeats_a_run_says_all_that_was_fixed() {
    let without = [FaultKind::Loss, FaultKind::LateTimer].into_iter().collect();
    let some = [
        Options::default(),
        Options { steps: 9, nodes: (2, 2), moving: Moving::Never, without, ..Options::default() },
        Options { machines: (3, 3), ..Options::default() },
        Options { machines: (1, 4), nodes: (5, 5), ..Options::default() },
        Options { is_lending: true, ..Options::default() },
        Options { nodes: (2, 4), moving: Moving::Often, without: FaultKinds::ALL, ..Options::default() },
    ];
    for options in some {
        let command = command(3, &options);
        let (_, line) = command.split_once(" -- ").expect("the program's own arguments come last");
        let again = options_of(&format!("lockmaster-sim {line}"));
        let fixed = |options: &Options| {
            let Options { steps, nodes, machines, moving, is_lending, without, .. } = *options;
            (steps, nodes, machines, moving, is_lending, without)
        };
        assert_eq!(fixed(&again), fixed(&options), "{line}");
    }
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    for kind in FaultKind::ALL {
        assert_eq!(FaultKind::named(kind.name()), Some(kind));
        assert!(FaultKinds::ALL.has(kind) && !FaultKinds::NONE.has(kind));
    }
}
