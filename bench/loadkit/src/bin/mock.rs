//! mock: a very fast single-threaded fake OpenAI upstream (loopback only).
//!   mock PORT [PORT...]
//! Environment (defaults for every port): MOCK_CHUNKS=64 MOCK_CHUNK_DELAY_US=0 MOCK_LATENCY_US=0 MOCK_MODE=ok MOCK_RETRY_AFTER=1
//! Run-time, per port:  GET /_ctl?mode=ok|500|503|429|400|hang|reset|midreset|midhang&latency_us=N&chunk_delay_us=N&chunks=N&retry_after=N
//!                      GET /_stats     GET /_reset
use loadkit::*;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

#[derive(Clone, Debug)]
struct Cfg {
    mode: String,
    latency_us: u64,
    chunk_delay_us: u64,
    chunks: usize,
    retry_after: u64,
}
#[derive(Default, Clone)]
struct Stats {
    conns: u64,
    posts: u64,
    gets: u64,
    streams: u64,
    chunks: u64,
    done: u64,
    aborted: u64,
    failed: u64,
}
struct Port {
    port: u16,
    cfg: Cfg,
    st: Stats,
}
#[derive(PartialEq, Clone, Copy)]
enum Act {
    None,
    Reply,
    Chunk,
}
struct Conn {
    fd: i32,
    port: usize,
    rbuf: Vec<u8>,
    wbuf: Vec<u8>,
    wpos: usize,
    act: Act,
    idx: usize,
    next_due: u64,
    close: bool,
    gen: u64,
    want_out: bool,
    reply: Vec<u8>,
    in_ring: bool,
    sent100: bool,
    limit: usize,
    limit_hang: bool,
}

fn env(k: &str, d: u64) -> u64 {
    std::env::var(k).ok().and_then(|v| v.parse().ok()).unwrap_or(d)
}
fn http(status: &str, ctype: &str, extra: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {ctype}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
fn chunked(ev: &str) -> Vec<u8> {
    format!("{:x}\r\n{}\r\n", ev.len(), ev).into_bytes()
}

fn main() {
    let ports: Vec<u16> = std::env::args().skip(1).map(|a| a.parse().expect("port")).collect();
    let cfg = Cfg {
        mode: std::env::var("MOCK_MODE").unwrap_or("ok".into()),
        latency_us: env("MOCK_LATENCY_US", 0),
        chunk_delay_us: env("MOCK_CHUNK_DELAY_US", 0),
        chunks: env("MOCK_CHUNKS", 64) as usize,
        retry_after: env("MOCK_RETRY_AFTER", 1),
    };
    let mut pt: Vec<Port> = ports
        .iter()
        .map(|p| Port {
            port: *p,
            cfg: cfg.clone(),
            st: Default::default(),
        })
        .collect();
    // ---- fixed payloads
    let json_body = r#"{"id":"chatcmpl-mock0123456789abcdef0123456789","object":"chat.completion","created":1760000000,"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog, and then it sits down by the river to think about the next hop of its route through the network.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":32,"completion_tokens":64,"total_tokens":96,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},"service_tier":"default","system_fingerprint":"fp_mock"}"#;
    let ok_json = http("200 OK", "application/json", "x-request-id: req_mock\r\n", json_body);
    let emb = http(
        "200 OK",
        "application/json",
        "",
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,0.2,0.3,0.4]}],"model":"mock","usage":{"prompt_tokens":4,"total_tokens":4}}"#,
    );
    let models = http(
        "200 OK",
        "application/json",
        "",
        r#"{"object":"list","data":[{"id":"mock","object":"model","created":1760000000,"owned_by":"mock","root":"mock","parent":null,"max_model_len":8192}],"model_path":"mock","is_generation":true,"status":"ok"}"#,
    );
    let err = |s: &str, t: &str, x: &str| {
        http(
            s,
            "application/json",
            x,
            &format!(r#"{{"error":{{"message":"mock {t}","type":"{t}","param":null,"code":null}}}}"#),
        )
    };
    let sse_head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nx-request-id: req_mock\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let pre = r#"data: {"id":"chatcmpl-mock0123456789abcdef0123456789","object":"chat.completion.chunk","created":1760000000,"model":"mock","system_fingerprint":"fp_mock","choices":[{"index":0,"delta":"#;
    let c_first = chunked(&format!(
        "{pre}{}\n\n",
        r#"{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#
    ));
    let c_mid = chunked(&format!(
        "{pre}{}\n\n",
        r#"{"content":" token"},"logprobs":null,"finish_reason":null}]}"#
    ));
    let c_last = chunked(&format!(
        "{pre}{}\n\n",
        r#"{},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":32,"completion_tokens":64,"total_tokens":96}}"#
    ));
    let c_done = {
        let mut v = chunked("data: [DONE]\n\n");
        v.extend_from_slice(b"0\r\n\r\n");
        v
    };

    let ep = Epoll::new();
    let mut conns: Vec<Option<Conn>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut heap: BinaryHeap<Reverse<(u64, usize, u64)>> = BinaryHeap::new();
    let mut ring: VecDeque<usize> = VecDeque::new();
    let mut gen = 1u64;
    let mut lfd: HashMap<u64, usize> = HashMap::new();
    let mut lfds = vec![];
    const LBASE: u64 = 1 << 40;
    for (i, p) in ports.iter().enumerate() {
        let fd = listen(*p).unwrap_or_else(|e| panic!("bind {p}: {e}"));
        ep.add(fd, libc::EPOLLIN as u32, LBASE + i as u64);
        lfd.insert(LBASE + i as u64, i);
        lfds.push(fd);
    }
    let mut evs: Vec<libc::epoll_event> = vec![libc::epoll_event { events: 0, u64: 0 }; 1024];
    let mut buf = vec![0u8; 1 << 18];
    eprintln!("mock listening on {ports:?} {cfg:?}");

    macro_rules! drop_conn {
        ($i:expr, $rst:expr) => {{
            if let Some(c) = conns[$i].take() {
                if c.act != Act::None {
                    pt[c.port].st.aborted += 1;
                }
                if $rst {
                    close_rst(c.fd)
                } else {
                    close(c.fd)
                }
                free.push($i);
            }
        }};
    }
    loop {
        let to: i64 = if !ring.is_empty() {
            0
        } else if let Some(Reverse((d, _, _))) = heap.peek() {
            (*d as i64 - now_ns() as i64).max(0)
        } else {
            -1
        };
        let n = ep.wait(&mut evs, to);
        let mut todo: Vec<usize> = Vec::with_capacity(n);
        for k in 0..n {
            let (e, d) = (evs[k].events, evs[k].u64);
            if d >= LBASE {
                let pi = lfd[&d];
                while let Some(fd) = accept(lfds[pi]) {
                    gen += 1;
                    pt[pi].st.conns += 1;
                    let c = Conn {
                        fd,
                        port: pi,
                        rbuf: Vec::with_capacity(4096),
                        wbuf: Vec::new(),
                        wpos: 0,
                        act: Act::None,
                        idx: 0,
                        next_due: 0,
                        close: false,
                        gen,
                        want_out: false,
                        reply: vec![],
                        in_ring: false,
                        sent100: false,
                        limit: usize::MAX,
                        limit_hang: false,
                    };
                    let i = free.pop().unwrap_or_else(|| {
                        conns.push(None);
                        conns.len() - 1
                    });
                    ep.add(fd, libc::EPOLLIN as u32, i as u64);
                    conns[i] = Some(c);
                }
                continue;
            }
            let i = d as usize;
            let Some(c) = conns[i].as_mut() else { continue };
            if e & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0 {
                let r = read(c.fd, &mut buf);
                if r == 0 || r == -2 {
                    drop_conn!(i, false);
                    continue;
                }
                if r > 0 {
                    c.rbuf.extend_from_slice(&buf[..r as usize]);
                }
            }
            todo.push(i);
        }
        // due timers
        if !heap.is_empty() {
            let t = now_ns();
            while let Some(Reverse((d, i, g))) = heap.peek().copied() {
                if d > t {
                    break;
                }
                heap.pop();
                if conns[i].as_ref().map(|c| c.gen == g).unwrap_or(false) {
                    let c = conns[i].as_mut().unwrap();
                    match c.act {
                        Act::Reply => {
                            let r = std::mem::take(&mut c.reply);
                            c.wbuf.extend_from_slice(&r);
                            c.act = Act::None;
                            todo.push(i);
                        }
                        Act::Chunk => {
                            if !c.in_ring {
                                c.in_ring = true;
                                ring.push_back(i);
                            }
                        }
                        Act::None => {}
                    }
                }
            }
        }
        // one chunk per streaming connection and turn
        for _ in 0..ring.len() {
            let i = ring.pop_front().unwrap();
            let Some(c) = conns[i].as_mut() else { continue };
            if !c.in_ring || c.act != Act::Chunk {
                continue;
            }
            c.in_ring = false;
            if c.wpos < c.wbuf.len() {
                c.in_ring = true;
                if c.want_out {
                    c.in_ring = false;
                } else {
                    ring.push_back(i);
                }
                todo.push(i);
                continue;
            }
            let cf = &pt[c.port].cfg;
            if c.idx >= c.limit {
                if c.limit_hang {
                    c.act = Act::None;
                    c.idx = 0;
                    c.limit = usize::MAX;
                    pt[c.port].st.failed += 1;
                } else {
                    pt[c.port].st.failed += 1;
                    c.act = Act::None;
                    drop_conn!(i, true);
                }
                continue;
            }
            let (chunks, delay) = (cf.chunks, cf.chunk_delay_us);
            let s = &mut pt[c.port].st;
            if c.idx == 0 {
                c.wbuf.extend_from_slice(&sse_head);
                c.wbuf.extend_from_slice(&c_first);
            } else if c.idx < chunks - 1 {
                c.wbuf.extend_from_slice(&c_mid);
            } else if c.idx == chunks - 1 {
                c.wbuf.extend_from_slice(&c_last);
            } else {
                c.wbuf.extend_from_slice(&c_done);
                c.act = Act::None;
                s.done += 1;
            }
            if c.act == Act::Chunk {
                s.chunks += 1;
                c.idx += 1;
                if delay == 0 || c.idx == chunks {
                    c.in_ring = true;
                    ring.push_back(i);
                } else {
                    c.next_due += delay * 1000;
                    heap.push(Reverse((c.next_due, i, c.gen)));
                }
            }
            todo.push(i);
        }
        for i in todo {
            // parse as many requests as possible while idle
            loop {
                let Some(c) = conns[i].as_mut() else { break };
                if c.act != Act::None || c.rbuf.is_empty() || c.wpos < c.wbuf.len() {
                    break;
                }
                let Some(h) = head(&c.rbuf) else { break };
                if h.expect && !c.sent100 {
                    c.wbuf.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                    c.sent100 = true;
                }
                let total = if h.chunked {
                    match find(&c.rbuf, b"0\r\n\r\n", h.len) {
                        Some(p) => p + 5,
                        None => break,
                    }
                } else {
                    h.len + h.clen.unwrap_or(0)
                };
                if c.rbuf.len() < total {
                    break;
                }
                c.sent100 = false;
                c.close = h.close;
                let req: Vec<u8> = c.rbuf.drain(..total).collect();
                let le = find(&req, b"\r\n", 0).unwrap();
                let line = &req[..le];
                let p = &mut pt[c.port];
                if line.starts_with(b"GET /_ctl?") {
                    let q = String::from_utf8_lossy(&line[10..]).to_string();
                    for kv in q.split(' ').next().unwrap().split('&') {
                        let (k, v) = kv.split_once('=').unwrap_or((kv, ""));
                        match k {
                            "mode" => p.cfg.mode = v.into(),
                            "latency_us" => p.cfg.latency_us = v.parse().unwrap_or(0),
                            "chunk_delay_us" => p.cfg.chunk_delay_us = v.parse().unwrap_or(0),
                            "chunks" => p.cfg.chunks = v.parse().unwrap_or(64),
                            "retry_after" => p.cfg.retry_after = v.parse().unwrap_or(1),
                            _ => {}
                        }
                    }
                    c.wbuf
                        .extend_from_slice(&http("200 OK", "text/plain", "", &format!("{:?}\n", p.cfg)));
                    continue;
                }
                if line.starts_with(b"GET /_stats") || line.starts_with(b"GET /_reset") {
                    let s = &p.st;
                    let b = format!(
                        r#"{{"port":{},"mode":"{}","conns":{},"posts":{},"gets":{},"streams":{},"chunks":{},"done":{},"aborted":{},"failed":{}}}"#,
                        p.port, p.cfg.mode, s.conns, s.posts, s.gets, s.streams, s.chunks, s.done, s.aborted, s.failed
                    );
                    c.wbuf.extend_from_slice(&http("200 OK", "application/json", "", &b));
                    if line.starts_with(b"GET /_reset") {
                        p.st = Default::default();
                    }
                    continue;
                }
                if line.starts_with(b"GET") || line.starts_with(b"HEAD") || line.starts_with(b"OPTIONS") {
                    p.st.gets += 1;
                    c.wbuf.extend_from_slice(&models);
                    continue;
                }
                p.st.posts += 1;
                let rb = &req[h.len..];
                let stream = find(rb, b"\"stream\":true", 0).is_some() || find(rb, b"\"stream\": true", 0).is_some();
                let mode = p.cfg.mode.as_str();
                let t0 = || now_ns();
                let mut rst = false;
                let mut hang = false;
                let fail = match mode {
                    "500" => Some(err("500 Internal Server Error", "server_error", "")),
                    "503" => Some(err(
                        "503 Service Unavailable",
                        "overloaded",
                        &format!("Retry-After: {}\r\n", p.cfg.retry_after),
                    )),
                    "429" => Some(err(
                        "429 Too Many Requests",
                        "rate_limit_exceeded",
                        &format!("Retry-After: {}\r\n", p.cfg.retry_after),
                    )),
                    "400" => Some(err("400 Bad Request", "invalid_request_error", "")),
                    "hang" => {
                        hang = true;
                        None
                    }
                    "reset" => {
                        rst = true;
                        None
                    }
                    _ => None,
                };
                if rst {
                    p.st.failed += 1;
                    drop_conn!(i, true);
                    break;
                }
                if hang {
                    p.st.failed += 1;
                    break;
                }
                if let Some(f) = fail {
                    p.st.failed += 1;
                    if p.cfg.latency_us > 0 {
                        c.reply = f;
                        c.act = Act::Reply;
                        heap.push(Reverse((t0() + p.cfg.latency_us * 1000, i, c.gen)));
                    } else {
                        c.wbuf.extend_from_slice(&f);
                    }
                    continue;
                }
                if stream {
                    p.st.streams += 1;
                    c.act = Act::Chunk;
                    c.idx = 0;
                    c.limit = usize::MAX;
                    if mode == "midreset" {
                        c.limit = 8;
                        c.limit_hang = false;
                    }
                    if mode == "midhang" {
                        c.limit = 8;
                        c.limit_hang = true;
                    }
                    c.next_due = t0() + p.cfg.latency_us * 1000;
                    if p.cfg.latency_us > 0 {
                        heap.push(Reverse((c.next_due, i, c.gen)));
                    } else {
                        c.in_ring = true;
                        ring.push_back(i);
                    }
                    break;
                }
                let r = if find(line, b"/embeddings", 0).is_some() {
                    &emb
                } else {
                    &ok_json
                };
                if p.cfg.latency_us > 0 {
                    c.reply = r.clone();
                    c.act = Act::Reply;
                    heap.push(Reverse((t0() + p.cfg.latency_us * 1000, i, c.gen)));
                } else {
                    c.wbuf.extend_from_slice(r);
                }
            }
            // flush
            let Some(c) = conns[i].as_mut() else { continue };
            while c.wpos < c.wbuf.len() {
                let r = write(c.fd, &c.wbuf[c.wpos..]);
                if r > 0 {
                    c.wpos += r as usize;
                } else {
                    break;
                }
            }
            if c.wpos >= c.wbuf.len() {
                c.wbuf.clear();
                c.wpos = 0;
                if c.want_out {
                    c.want_out = false;
                    ep.modify(c.fd, libc::EPOLLIN as u32, i as u64);
                    if c.act == Act::Chunk && !c.in_ring && c.next_due <= now_ns() {
                        c.in_ring = true;
                        ring.push_back(i);
                    }
                }
                if c.close && c.act == Act::None {
                    drop_conn!(i, false);
                }
            } else if !c.want_out {
                c.want_out = true;
                ep.modify(c.fd, (libc::EPOLLIN | libc::EPOLLOUT) as u32, i as u64);
            }
        }
    }
}
