use super::*;

fn options() -> EtcdOptions {
    EtcdOptions::new(["http://127.0.0.1:2379"], "state")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let timing = options().check().unwrap();
    assert_eq!(timing, Timing { ttl: seconds(10), margin: seconds(1), settle: seconds(1) });
    assert_eq!(timing.renew_every(), seconds(2));
    assert_eq!(timing.call_max(), seconds(2));
}

#[test]
fn pings_are_never_so_frequent_that_a_server_drops_the_connection() {
    for ttl in 2..=600 {
        let timing = options().ttl(seconds(ttl)).check().unwrap();
        assert!(EtcdOptions::pings(timing).0 >= seconds(5));
    }
}

#[test]
fn what_cannot_work_is_refused() {
    let refused = |options: EtcdOptions| options.check().unwrap_err();
    assert_eq!(refused(EtcdOptions::new(Vec::<String>::new(), "state")), EtcdError::NoEndpoint);
    for endpoint in ["127.0.0.1:2379", "http://", "http://x", "http://:1", "http://x:y", "ftp://x:1"] {
        let error = refused(EtcdOptions::new([endpoint], "state"));
        assert_eq!(error, EtcdError::Endpoint(endpoint.to_owned()));
    }
    assert_eq!(refused(EtcdOptions::new(["http://x:1"], "")), EtcdError::NoState);
    for ttl in [Duration::ZERO, seconds(1), Duration::from_millis(2500), seconds(601)] {
        assert_eq!(refused(options().ttl(ttl)), EtcdError::Ttl(ttl));
    }
    for margin in [Duration::ZERO, Duration::from_millis(3334)] {
        let error = refused(options().margin(margin));
        assert_eq!(error, EtcdError::Margin { margin, ttl: seconds(10) });
    }
}

#[test]
fn a_password_is_not_printed() {
    let options = options().user("lock", "hush");
    assert!(!format!("{options:?}").contains("hush"));
}
