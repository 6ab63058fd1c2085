//! Tiny epoll helpers shared by the mock upstream and the load generator.
use std::io;
use std::os::raw::c_int;

pub fn now_ns() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}
pub struct Epoll(pub c_int);
impl Epoll {
    pub fn new() -> Self {
        Epoll(unsafe { libc::epoll_create1(0) })
    }
    pub fn ctl(&self, op: c_int, fd: c_int, ev: u32, data: u64) -> c_int {
        let mut e = libc::epoll_event { events: ev, u64: data };
        unsafe { libc::epoll_ctl(self.0, op, fd, &mut e) }
    }
    pub fn add(&self, fd: c_int, ev: u32, data: u64) {
        self.ctl(libc::EPOLL_CTL_ADD, fd, ev, data);
    }
    pub fn modify(&self, fd: c_int, ev: u32, data: u64) {
        self.ctl(libc::EPOLL_CTL_MOD, fd, ev, data);
    }
    /// timeout_ns < 0 waits forever.
    pub fn wait(&self, evs: &mut [libc::epoll_event], timeout_ns: i64) -> usize {
        let ts = libc::timespec {
            tv_sec: timeout_ns.max(0) / 1_000_000_000,
            tv_nsec: timeout_ns.max(0) % 1_000_000_000,
        };
        let p = if timeout_ns < 0 { std::ptr::null() } else { &ts as *const _ };
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0,
                evs.as_mut_ptr(),
                evs.len() as c_int,
                p,
                std::ptr::null::<u8>(),
                8usize,
            )
        };
        if n < 0 {
            0
        } else {
            n as usize
        }
    }
}
fn setopt(fd: c_int, lvl: c_int, opt: c_int, v: c_int) {
    unsafe { libc::setsockopt(fd, lvl, opt, &v as *const _ as *const _, 4) };
}
fn addr(port: u16) -> libc::sockaddr_in {
    let mut a: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    a.sin_family = libc::AF_INET as u16;
    a.sin_port = port.to_be();
    a.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
    a
}
pub fn listen(port: u16) -> io::Result<c_int> {
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        setopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
        let a = addr(port);
        if libc::bind(fd, &a as *const _ as *const _, 16) < 0 || libc::listen(fd, 4096) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(fd)
    }
}
pub fn accept(l: c_int) -> Option<c_int> {
    let fd = unsafe {
        libc::accept4(
            l,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    };
    if fd < 0 {
        return None;
    }
    setopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    Some(fd)
}
/// Loopback only, by construction.
pub fn connect(port: u16) -> io::Result<c_int> {
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        setopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
        let a = addr(port);
        if libc::connect(fd, &a as *const _ as *const _, 16) < 0 {
            let e = io::Error::last_os_error();
            if e.raw_os_error() != Some(libc::EINPROGRESS) {
                libc::close(fd);
                return Err(e);
            }
        }
        Ok(fd)
    }
}
pub fn close(fd: c_int) {
    unsafe {
        libc::close(fd);
    }
}
pub fn close_rst(fd: c_int) {
    let l = libc::linger { l_onoff: 1, l_linger: 0 };
    unsafe {
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, &l as *const _ as *const _, 8);
        libc::close(fd);
    }
}
/// >0 bytes, 0 = EOF, -1 = would block, -2 = error
pub fn read(fd: c_int, buf: &mut [u8]) -> isize {
    let n = unsafe { libc::read(fd, buf.as_mut_ptr() as *mut _, buf.len()) };
    if n >= 0 {
        return n;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) | Some(libc::EINTR) => -1,
        _ => -2,
    }
}
pub fn write(fd: c_int, buf: &[u8]) -> isize {
    let n = unsafe { libc::send(fd, buf.as_ptr() as *const _, buf.len(), libc::MSG_NOSIGNAL) };
    if n >= 0 {
        return n;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) | Some(libc::EINTR) => -1,
        _ => -2,
    }
}
pub fn find(h: &[u8], n: &[u8], from: usize) -> Option<usize> {
    if h.len() < n.len() || from > h.len() - n.len() {
        return None;
    }
    let mut i = from;
    while i + n.len() <= h.len() {
        let p = unsafe { libc::memchr(h[i..].as_ptr() as *const _, n[0] as c_int, h.len() - i) };
        if p.is_null() {
            return None;
        }
        i = p as usize - h.as_ptr() as usize;
        if i + n.len() > h.len() {
            return None;
        }
        if &h[i..i + n.len()] == n {
            return Some(i);
        }
        i += 1;
    }
    None
}
#[derive(Default, Clone, Debug)]
pub struct Head {
    pub len: usize,
    pub clen: Option<usize>,
    pub chunked: bool,
    pub close: bool,
    pub expect: bool,
}
/// Parse header block: returns None while incomplete.
pub fn head(b: &[u8]) -> Option<Head> {
    let end = find(b, b"\r\n\r\n", 0)?;
    let mut h = Head {
        len: end + 4,
        ..Default::default()
    };
    let mut i = find(b, b"\r\n", 0)? + 2;
    while i < end + 2 {
        let e = find(b, b"\r\n", i)?;
        let l = &b[i..e];
        if let Some(c) = l.iter().position(|x| *x == b':') {
            let k = &l[..c];
            let v = l[c + 1..].trim_ascii();
            if k.eq_ignore_ascii_case(b"content-length") {
                h.clen = std::str::from_utf8(v).ok().and_then(|s| s.parse().ok());
            } else if k.eq_ignore_ascii_case(b"transfer-encoding") {
                h.chunked = v.to_ascii_lowercase().windows(7).any(|w| w == b"chunked");
            } else if k.eq_ignore_ascii_case(b"connection") {
                h.close = v.eq_ignore_ascii_case(b"close");
            } else if k.eq_ignore_ascii_case(b"expect") {
                h.expect = true;
            }
        }
        i = e + 2;
    }
    Some(h)
}
