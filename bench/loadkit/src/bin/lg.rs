//! lg: single-threaded epoll load generator, HTTP/1.1, loopback only.
//!   lg --port P --path /v1/chat/completions --body FILE [--header 'K: V']... [--stream]
//!      --conc N --secs S [--warm S] [--rate R] [--max N] [--timeout S]
//! closed loop without --rate; with --rate open loop (latency counted from the scheduled time, so no coordinated omission).
//! Prints one JSON object.
use loadkit::*;
use std::collections::BTreeMap;

#[derive(PartialEq, Clone, Copy)]
enum St {
    Idle,
    Connecting,
    Busy,
}
struct C {
    fd: i32,
    st: St,
    start: u64,
    sent: usize,
    rbuf: Vec<u8>,
    hd: Option<Head>,
    status: u32,
    got: usize,
    pos: usize,
    first: u64,
    last_ev: u64,
    events: u32,
    done: bool,
    finished: bool,
    measured: bool,
    served: u64,
    tail: Vec<u8>,
}
fn pct(v: &mut Vec<u32>, p: f64) -> f64 {
    if v.is_empty() {
        return -1.0;
    }
    let k = (((v.len() as f64) * p).ceil() as usize).clamp(1, v.len()) - 1;
    *v.select_nth_unstable(k).1 as f64 / 1000.0
}
fn dist(v: &mut Vec<u32>) -> String {
    if v.is_empty() {
        return "null".into();
    }
    let mean = v.iter().map(|x| *x as f64).sum::<f64>() / v.len() as f64 / 1000.0;
    format!(
        r#"{{"n":{},"mean":{:.4},"p50":{:.4},"p90":{:.4},"p99":{:.4},"p999":{:.4},"max":{:.4}}}"#,
        v.len(),
        mean,
        pct(v, 0.5),
        pct(v, 0.9),
        pct(v, 0.99),
        pct(v, 0.999),
        pct(v, 1.0)
    )
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let get = |k: &str| a.iter().position(|x| x == k).map(|i| a[i + 1].clone());
    let num = |k: &str, d: f64| get(k).and_then(|v| v.parse().ok()).unwrap_or(d);
    let port = num("--port", 0.0) as u16;
    let path = get("--path").unwrap_or("/v1/chat/completions".into());
    let body = std::fs::read(get("--body").expect("--body")).expect("body file");
    let stream = a.iter().any(|x| x == "--stream");
    let conc = num("--conc", 64.0) as usize;
    let (secs, warm, rate, max, timeout) = (
        num("--secs", 8.0),
        num("--warm", 1.0),
        num("--rate", 0.0),
        num("--max", 1e12) as u64,
        num("--timeout", 30.0),
    );
    let mut hs = String::new();
    for (i, x) in a.iter().enumerate() {
        if x == "--header" {
            hs += &a[i + 1];
            hs += "\r\n";
        }
    }
    let mut req = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nAccept: */*\r\n{hs}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    req.extend_from_slice(&body);

    let ep = Epoll::new();
    let mut cs: Vec<C> = Vec::new();
    for _ in 0..conc {
        cs.push(C {
            fd: -1,
            st: St::Idle,
            start: 0,
            sent: 0,
            rbuf: vec![],
            hd: None,
            status: 0,
            got: 0,
            pos: 0,
            first: 0,
            last_ev: 0,
            events: 0,
            done: false,
            finished: false,
            measured: false,
            served: 0,
            tail: vec![],
        });
    }
    let mut idle: Vec<usize> = (0..conc).rev().collect();
    let (mut lat, mut ttft, mut gaps, mut faillat): (Vec<u32>, Vec<u32>, Vec<u32>, Vec<u32>) = (vec![], vec![], vec![], vec![]);
    let mut codes: BTreeMap<String, u64> = BTreeMap::new();
    let (mut n_ok, mut n_fail, mut n_events, mut n_done, mut bytes, mut reconn, mut launched, mut late) =
        (0u64, 0u64, 0u64, 0u64, 0u64, 0u64, 0u64, 0u64);
    let t0 = now_ns();
    let tm = t0 + (warm * 1e9) as u64;
    let tend = tm + (secs * 1e9) as u64;
    let tdrain = tend + (timeout * 1e9) as u64;
    let mut sched = 0u64; // open loop index
    let mut evs: Vec<libc::epoll_event> = vec![libc::epoll_event { events: 0, u64: 0 }; 1024];
    let mut buf = vec![0u8; 1 << 18];
    let mut first_err = String::new();
    let mut last_sweep = t0;
    let mut ev_in_window = 0u64;
    let mut comp_in_window = 0u64;
    let mut sample: Vec<u8> = vec![];

    macro_rules! finish {
        ($i:expr, $code:expr, $ok:expr) => {{
            let t = now_ns();
            let code_v: String = $code;
            let c = &mut cs[$i];
            if $ok && t >= tm && t < tend {
                comp_in_window += 1;
            }
            if c.measured {
                *codes.entry(code_v.clone()).or_insert(0) += 1;
                let lus = ((t - c.start).min(4_000_000_000_000) / 1000) as u32;
                if $ok {
                    n_ok += 1;
                    lat.push(lus);
                    if c.first > 0 {
                        ttft.push(((c.first - c.start) / 1000) as u32);
                    }
                } else {
                    n_fail += 1;
                    faillat.push(lus);
                    if first_err.is_empty() {
                        first_err = format!("{} {}", code_v, String::from_utf8_lossy(&c.rbuf[..c.rbuf.len().min(400)]));
                    }
                }
                n_events += c.events as u64;
                if c.done {
                    n_done += 1;
                }
            }
            c.served += 1;
            c.st = St::Idle;
            idle.push($i);
        }};
    }
    macro_rules! kill {
        ($i:expr) => {{
            let c = &mut cs[$i];
            if c.fd >= 0 {
                close(c.fd);
                c.fd = -1;
            }
        }};
    }
    macro_rules! launch {
        ($i:expr, $start:expr) => {{
            let c = &mut cs[$i];
            c.start = $start;
            c.sent = 0;
            c.rbuf.clear();
            c.tail.clear();
            c.hd = None;
            c.status = 0;
            c.got = 0;
            c.pos = 0;
            c.first = 0;
            c.last_ev = 0;
            c.events = 0;
            c.done = false;
            c.finished = false;
            c.measured = $start >= tm && $start < tend;
            launched += 1;
            if c.fd < 0 {
                match connect(port) {
                    Ok(fd) => {
                        c.fd = fd;
                        c.st = St::Connecting;
                        reconn += 1;
                        c.served = 0;
                        ep.add(fd, (libc::EPOLLIN | libc::EPOLLOUT) as u32, $i as u64);
                        true
                    }
                    Err(_) => {
                        c.rbuf.clear();
                        finish!($i, "connect_error".to_string(), false);
                        false
                    }
                }
            } else {
                c.st = St::Busy;
                let r = write(c.fd, &req);
                if r == req.len() as isize {
                    c.sent = req.len();
                } else if r >= 0 {
                    c.sent = r as usize;
                    ep.modify(c.fd, (libc::EPOLLIN | libc::EPOLLOUT) as u32, $i as u64);
                } else if r == -1 {
                    ep.modify(c.fd, (libc::EPOLLIN | libc::EPOLLOUT) as u32, $i as u64);
                } else {
                    // stale keep-alive: reconnect once
                    close(c.fd);
                    c.fd = -1;
                    match connect(port) {
                        Ok(fd) => {
                            c.fd = fd;
                            c.st = St::Connecting;
                            reconn += 1;
                            ep.add(fd, (libc::EPOLLIN | libc::EPOLLOUT) as u32, $i as u64);
                        }
                        Err(_) => {
                            finish!($i, "connect_error".to_string(), false);
                        }
                    }
                }
                true
            }
        }};
    }
    loop {
        let t = now_ns();
        let running = t < tend && launched < max;
        if !running && idle.len() == conc {
            break;
        }
        if t > tdrain {
            break;
        }
        // launch
        let mut to: i64 = 20_000_000;
        if running {
            if rate > 0.0 {
                loop {
                    let due = t0 + (sched as f64 * 1e9 / rate) as u64;
                    if due > t || due >= tend {
                        to = to.min((due as i64 - t as i64).max(0));
                        break;
                    }
                    if launched >= max {
                        break;
                    }
                    let Some(i) = idle.pop() else {
                        late += 1;
                        break;
                    };
                    sched += 1;
                    let _ = launch!(i, due);
                }
            } else {
                let mut budget = idle.len();
                while budget > 0 && launched < max {
                    budget -= 1;
                    let i = idle.pop().unwrap();
                    let ok = launch!(i, now_ns());
                    if !ok {
                        to = 1_000_000;
                    }
                }
            }
        }
        let n = ep.wait(&mut evs, to);
        for k in 0..n {
            let (e, i) = (evs[k].events, evs[k].u64 as usize);
            if cs[i].fd < 0 {
                continue;
            }
            if e & libc::EPOLLOUT as u32 != 0 && cs[i].st != St::Idle {
                let c = &mut cs[i];
                if c.st == St::Connecting {
                    c.st = St::Busy;
                }
                let r = write(c.fd, &req[c.sent..]);
                if r > 0 {
                    c.sent += r as usize;
                } else if r == -2 {
                    kill!(i);
                    finish!(i, "connect_error".to_string(), false);
                    continue;
                }
                if cs[i].sent == req.len() {
                    ep.modify(cs[i].fd, libc::EPOLLIN as u32, i as u64);
                }
            }
            if e & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0 {
                let r = read(cs[i].fd, &mut buf);
                if r == -1 {
                    continue;
                }
                if r <= 0 {
                    if cs[i].st == St::Idle {
                        kill!(i);
                        continue;
                    }
                    // body delimited by connection close?
                    let c = &mut cs[i];
                    let eof_ok = r == 0 && c.hd.as_ref().map(|h| !h.chunked && h.clen.is_none()).unwrap_or(false);
                    // a keep-alive race: server closed an idle connection just as we sent
                    let stale = c.hd.is_none() && c.rbuf.is_empty() && c.served > 0;
                    let st = c.start;
                    let m = c.measured;
                    kill!(i);
                    if eof_ok {
                        let ok = cs[i].status == 200 && (!stream || cs[i].done);
                        let code = cs[i].status.to_string();
                        finish!(i, code, ok);
                    } else if stale {
                        cs[i].served = 0;
                        let _ = launch!(i, st);
                        cs[i].measured = m;
                        launched -= 1;
                    } else {
                        let code = if cs[i].hd.is_some() {
                            format!("{}_truncated", cs[i].status)
                        } else {
                            "reset".to_string()
                        };
                        finish!(i, code, false);
                    }
                    continue;
                }
                let tr = now_ns();
                bytes += r as u64;
                let c = &mut cs[i];
                if c.st == St::Idle {
                    continue;
                }
                c.rbuf.extend_from_slice(&buf[..r as usize]);
                loop {
                    // skip 1xx
                    if c.hd.is_some() {
                        break;
                    }
                    let Some(h) = head(&c.rbuf) else { break };
                    let s: u32 = std::str::from_utf8(&c.rbuf[9..12])
                        .ok()
                        .and_then(|x| x.parse().ok())
                        .unwrap_or(0);
                    if (100..200).contains(&s) {
                        c.rbuf.drain(..h.len);
                        continue;
                    }
                    c.status = s;
                    c.pos = h.len;
                    c.hd = Some(h);
                }
                let Some(h) = c.hd.clone() else { continue };
                if stream && c.status == 200 {
                    // count events in the newly received raw bytes (chunk framing never splits our scan by more than the tail)
                    let from = c.pos.saturating_sub(0);
                    let mut p = from;
                    let mut got = 0;
                    while let Some(x) = find(&c.rbuf, b"data: ", p) {
                        if c.rbuf[x + 6..].starts_with(b"[DONE]") {
                            c.done = true;
                        } else {
                            got += 1;
                        }
                        p = x + 6;
                    }
                    // keep last 13 bytes for boundary (an event marker or "[DONE]" cut in two)
                    let keep_from = if p > from {
                        p.max(c.rbuf.len().saturating_sub(5))
                    } else {
                        c.rbuf.len().saturating_sub(5).max(from)
                    };
                    if !c.done && find(&c.rbuf[from..], b"[DONE]", 0).is_some() {
                        c.done = true;
                    }
                    c.pos = keep_from;
                    if got > 0 {
                        c.events += got;
                        if tr >= tm && tr < tend {
                            ev_in_window += got as u64;
                        }
                        if c.first == 0 {
                            c.first = tr;
                        } else if c.measured {
                            gaps.push(((tr - c.last_ev) / 1000) as u32);
                        }
                        c.last_ev = tr;
                    }
                }
                let complete = if h.chunked {
                    c.rbuf.ends_with(b"\r\n0\r\n\r\n")
                        || c.rbuf[h.len.min(c.rbuf.len())..].ends_with(b"0\r\n\r\n") && c.rbuf.len() == h.len + 5
                } else if let Some(cl) = h.clen {
                    c.rbuf.len() >= h.len + cl
                } else {
                    false
                };
                if complete {
                    if c.first == 0 {
                        c.first = tr;
                    }
                    let ok = c.status == 200 && (!stream || c.done);
                    let code = if c.status == 200 && !ok {
                        "200_incomplete".to_string()
                    } else {
                        c.status.to_string()
                    };
                    if sample.is_empty() && c.measured {
                        sample = c.rbuf.clone();
                    }
                    let cl = h.close;
                    finish!(i, code, ok);
                    if cl {
                        kill!(i);
                    }
                    if rate == 0.0 && launched < max && tr < tend {
                        // relaunch the same connection at once
                        idle.pop();
                        let _ = launch!(i, now_ns());
                    }
                }
            }
        }
        let t = now_ns();
        if t - last_sweep > 50_000_000 {
            last_sweep = t;
            for i in 0..conc {
                if cs[i].st != St::Idle && t - cs[i].start > (timeout * 1e9) as u64 {
                    kill!(i);
                    finish!(i, "timeout".to_string(), false);
                }
            }
        }
    }
    let codes_s: Vec<String> = codes.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
    if let Some(f) = get("--sample") {
        let _ = std::fs::write(f, &sample);
    }
    println!(
        r#"{{"secs":{secs},"conc":{conc},"rate":{rate},"ok":{n_ok},"fail":{n_fail},"rps":{:.1},"codes":{{{}}},"lat_ms":{},"ttft_ms":{},"gap_ms":{},"fail_ms":{},"events":{n_events},"done":{n_done},"events_per_s":{:.1},"bytes":{bytes},"conns":{reconn},"late":{late},"first_err":{:?}}}"#,
        comp_in_window as f64 / secs,
        codes_s.join(","),
        dist(&mut lat),
        dist(&mut ttft),
        dist(&mut gaps),
        dist(&mut faillat),
        ev_in_window as f64 / secs,
        first_err
            .chars()
            .filter(|c| !c.is_control())
            .collect::<String>()
            .replace('\'', " ")
    );
}
