//! The scenery by itself: what the network does to datagrams, counted.

use core::net::SocketAddrV4;
use core::time::Duration;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Instant;

use crate::failure::{Result, broken, require};
use crate::interrupt;
use crate::net::{Host, Net};
use crate::weather::Rates;

const A: Host = Host(1);
const B: Host = Host(2);
const C: Host = Host(3);
const PORT: u16 = 7777;
/// Datagrams that are sent each time.
const SENT: u32 = 500;
const ALL: usize = SENT as usize;
/// Nothing comes any more after such a silence.
const SILENCE: Duration = Duration::from_millis(300);
/// Pause after so many datagrams, and how long: buffers are short, and whoever empties them may have to wait for its
/// turn.
const BURST: u32 = 5;
const PAUSE: Duration = Duration::from_millis(5);

/// What came of the datagrams.
struct Came {
    numbers: Vec<u32>,
    /// The quickest and the slowest.
    spans: (Duration, Duration),
}

impl Came {
    fn distinct(&self) -> usize {
        self.numbers.iter().collect::<BTreeSet<_>>().len()
    }

    fn lost(&self) -> usize {
        ALL - self.distinct()
    }

    fn doubled(&self) -> usize {
        self.numbers.len() - self.distinct()
    }

    fn out_of_order(&self) -> usize {
        self.numbers.windows(2).filter(|pair| pair[0] > pair[1]).count()
    }

    /// An error unless each came once.
    fn require_all(&self, when: &str) -> Result<()> {
        let count = self.numbers.len();
        require(count == ALL && self.lost() == 0, || format!("{when} {count} of {SENT} came"))
    }
}

/// Measures every fault of the network.
pub(crate) fn run(seed: u64) -> Result<()> {
    let mut net = Net::new(3)?;
    let came = send(&net, A, B)?;
    came.require_all("without faults")?;
    println!("  without faults       all {SENT} came, the slowest took {:.1?}", came.spans.1);

    net.cut_one_way(&[A], &[B])?;
    let (there, back, beside) = (count(&net, A, B)?, count(&net, B, A)?, count(&net, A, C)?);
    require((there, back, beside) == (0, ALL, ALL), || {
        format!("cut from 1 to 2: {there} came there, {back} back, {beside} beside")
    })?;
    let dropped = net.dropped()?;
    require(dropped == u64::from(SENT), || format!("{dropped} of {SENT} were counted as dropped"))?;
    println!("  cut from 1 to 2      {there} there, {back} back, {beside} to 3; {dropped} dropped");

    net.heal()?;
    net.cut(&[A], &[B, C])?;
    let (there, back, beside) = (count(&net, A, B)?, count(&net, C, A)?, count(&net, B, C)?);
    require((there, back, beside) == (0, 0, ALL), || format!("cut off 1: {there}, {back}, {beside}"))?;
    println!("  1 cut off            {there} from it, {back} to it, {beside} beside");
    net.heal()?;

    measure_weather(&mut net, seed)?;
    let came = send(&net, B, A)?;
    came.require_all("after the faults")?;
    println!("  after the faults     all {SENT} came");
    Ok(())
}

fn measure_weather(net: &mut Net, seed: u64) -> Result<()> {
    net.weather(Rates { loss: 200, ..Rates::default() }, seed)?;
    let came = send(net, A, B)?;
    let lost = came.lost();
    require((65..135).contains(&lost), || format!("{lost} of {SENT} were lost, of 100 that should be"))?;
    println!("  loss of 20 %         {lost} of {SENT} lost");

    net.weather(Rates { double: 100, ..Rates::default() }, seed)?;
    let came = send(net, A, B)?;
    let doubled = came.doubled();
    require((20..80).contains(&doubled), || format!("{doubled} of {SENT} came twice, of 50 that should"))?;
    println!("  10 % come twice      {doubled} of {SENT} did, {} were lost", came.lost());

    let delay = Duration::from_millis(50);
    net.weather(Rates { delay, ..Rates::default() }, seed)?;
    let came = send(net, A, B)?;
    require(came.lost() == 0 && came.spans.0 >= delay, || {
        format!("{} of {SENT} came, the quickest after {:?}", came.distinct(), came.spans.0)
    })?;
    require(came.out_of_order() == 0, || "what takes equally long was reordered".to_owned())?;
    println!("  delay of 50 ms       the quickest {:.1?}, the slowest {:.1?}", came.spans.0, came.spans.1);

    let jitter = Duration::from_millis(20);
    net.weather(Rates { straggle: 50, jitter, ..Rates::default() }, seed)?;
    let came = send(net, A, B)?;
    let reordered = came.out_of_order();
    require(came.lost() == 0 && reordered > 25, || format!("{reordered} were out of order"))?;
    println!("  jitter of 20 ms      {reordered} of {SENT} out of order, the slowest {:.1?}", came.spans.1);
    net.heal()?;

    let toll = net.toll();
    let was_hit = toll.lost > 0 && toll.doubled > 0 && toll.delayed > 0 && toll.overtaken > 0;
    require(was_hit, || format!("not everything was counted: {toll:?}"))
}

/// How many come of what is sent from one host to another.
fn count(net: &Net, from: Host, to: Host) -> Result<usize> {
    send(net, from, to).map(|came| came.numbers.len())
}

/// Sends datagrams from one host to another and takes what comes.
fn send(net: &Net, from: Host, to: Host) -> Result<Came> {
    let place = SocketAddrV4::new(to.address(), PORT);
    let bind = move |host: Host, port| UdpSocket::bind((host.address(), port));
    let source = net.space(from).within(move || bind(from, 0))?.map_err(broken("a socket"))?;
    let sink = net.space(to).within(move || bind(to, PORT))?.map_err(broken("a socket"))?;
    sink.set_read_timeout(Some(SILENCE)).map_err(broken("a socket"))?;
    let start = Instant::now();
    let sender = std::thread::spawn(move || {
        for number in 0..SENT {
            let sent_at = u64::try_from(start.elapsed().as_nanos()).expect("a test is short");
            let mut datagram = [0; 12];
            datagram[..4].copy_from_slice(&number.to_le_bytes());
            datagram[4..].copy_from_slice(&sent_at.to_le_bytes());
            source.send_to(&datagram, place)?;
            if number % BURST == 0 {
                std::thread::sleep(PAUSE);
            }
        }
        Ok::<_, std::io::Error>(())
    });
    let mut came = Came { numbers: Vec::new(), spans: (Duration::MAX, Duration::ZERO) };
    let mut datagram = [0; 12];
    loop {
        interrupt::check()?;
        match sink.recv(&mut datagram) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => return Err(broken("receiving")(error)),
        }
        let (number, sent_at) = datagram.split_at(4);
        let number = u32::from_le_bytes(number.try_into().expect("four bytes"));
        let sent_at = u64::from_le_bytes(sent_at.try_into().expect("eight bytes"));
        let span = start.elapsed().saturating_sub(Duration::from_nanos(sent_at));
        came.numbers.push(number);
        came.spans = (came.spans.0.min(span), came.spans.1.max(span));
    }
    sender.join().map_err(|_| broken("sending")("it has panicked"))?.map_err(broken("sending"))?;
    Ok(came)
}
