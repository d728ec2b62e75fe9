use super::*;

#[tokio::test]
async fn small_frames_leave_at_once_on_both_sides() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = TokioListener::new(listener).unwrap();
    let (_, dialled) = split(TcpStream::connect(address).await.unwrap()).unwrap();
    let (_, accepted) = listener.accept().await.unwrap();
    assert!(dialled.0.as_ref().nodelay().unwrap() && accepted.0.as_ref().nodelay().unwrap());
}
