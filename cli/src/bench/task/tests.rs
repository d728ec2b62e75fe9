use super::*;

#[test]
fn every_resource_is_one_tasks_own_and_every_task_has_one() {
    for (nodes, tasks, count) in [(1, 1, 1), (2, 8, 16), (2, 8, 1000), (3, 7, 100), (8, 1024, 65_536)] {
        let mut owners = vec![0; count];
        for node in 0..nodes {
            for task in 0..tasks {
                let own = Place { node, task, nodes, tasks }.own(count);
                assert!(!own.is_empty(), "{node} {task} of {nodes} {tasks}");
                own.for_each(|at| owners[at] += 1);
            }
        }
        assert!(owners.iter().all(|owners| *owners == 1), "{nodes} {tasks} {count}: {owners:?}");
    }
}
