//! The suite that every adapter has to pass, with tasks on the global executor and on one of the test's own.

#[cfg(test)]
mod on_the_global_executor {
    use core::future::Future;

    use lockmaster_smol::SmolRuntime;

    fn run<F: Future<Output = ()>>(case: impl FnOnce(SmolRuntime) -> F) {
        smol::block_on(case(SmolRuntime::default()));
    }

    lockmaster_async::conformance!(run);
}

#[cfg(test)]
mod on_an_executor_of_its_own {
    use core::future::Future;
    use std::sync::Arc;

    use lockmaster_async::conformance::yields_to_its_sockets;
    use lockmaster_smol::SmolRuntime;
    use smol::Executor;

    fn run<F: Future<Output = ()>>(case: impl FnOnce(SmolRuntime) -> F) {
        let executor = Arc::new(Executor::new());
        smol::block_on(executor.run(case(SmolRuntime::on(Arc::clone(&executor)))));
    }

    lockmaster_async::conformance!(run);

    /// Nodes of several machines.
    mod with_three_machines {
        use super::run;

        lockmaster_async::conformance!(run, 3);
    }

    #[test]
    fn who_yields_lets_the_reactor_look() {
        run(|runtime| yields_to_its_sockets(runtime, 3));
    }
}
