//! How it came to a state, for people.

use core::fmt::Write as _;

use super::ghost::Rule;
use super::locals::Input;
use super::world::{Action, Cluster, World};

/// The rule that is broken at the end of a path, and the path.
pub(super) fn tell(cluster: &Cluster, path: Vec<(World, Option<Action>)>) -> (Rule, String) {
    let mut story = String::new();
    let mut rule = Rule::Liveness;
    for (nth, (world, action)) in (1..).zip(path) {
        let Some(action) = action else {
            rule = world.broken.unwrap_or_else(|| cluster.heal(&world).err().unwrap_or(Rule::Liveness));
            tell_into(&mut story, format_args!("owners: {:?}", world.ghost.owners));
            break;
        };
        tell_step(cluster, &world, nth, action, &mut story);
    }
    (rule, story)
}

fn tell_step(
    cluster: &Cluster,
    world: &World,
    nth: u32,
    Action { member, input }: Action,
    story: &mut String,
) {
    let node = member + 1;
    match input {
        Input::Deliver(message) => {
            let frame = cluster.locals.message(member, message);
            let said = frame.messages();
            tell_into(story, format_args!("{nth}. node {node} hears from node {}: {said:?}", frame.from));
        }
        Input::Tick
        | Input::Request { .. }
        | Input::Convert { .. }
        | Input::Release { .. }
        | Input::Cancel { .. }
        | Input::Transfer { .. }
        | Input::View(_)
        | Input::Crash => tell_into(story, format_args!("{nth}. node {node}: {input:?}")),
        Input::MakeView => tell_into(story, format_args!("{nth}. a view is made")),
    }
    if matches!(input, Input::Crash | Input::MakeView) {
        return;
    }
    let step = cluster.locals.step(world.locals[usize::from(member)], input);
    for told in &step.told {
        tell_into(story, format_args!("      told: {told:?}"));
    }
    for (to, message) in &step.said {
        let said = cluster.locals.message(*to, *message);
        tell_into(story, format_args!("      says to node {}: {:?}", to + 1, said.messages()));
    }
    if let Some(panic) = &step.panic {
        tell_into(story, format_args!("      stops: {panic}"));
    }
}

fn tell_into(story: &mut String, line: core::fmt::Arguments<'_>) {
    writeln!(story, "  {line}").expect("a text takes everything");
}
