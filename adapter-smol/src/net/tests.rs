use super::*;

#[test]
fn small_frames_leave_at_once_on_both_sides() {
    smol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = SmolListener::new(listener).unwrap();
        let (_, dialled) = split(Async::<TcpStream>::connect(address).await.unwrap()).unwrap();
        let (_, accepted) = listener.accept().await.unwrap();
        assert!(dialled.0.get_ref().nodelay().unwrap() && accepted.0.get_ref().nodelay().unwrap());
    });
}
