//! Cases 18 to 21, 23 and 24: protocols, CORS, canaries, affinity.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use bytes::Bytes;
use h2::client::handshake;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::backends::Speaks;
use crate::edge::process::Proxy;
use crate::edge::wire;
use crate::given::Ingress;
use crate::world::{SOMEBODY, World, connect, http, short};

fn simple(name: &str, value: &str) -> Ingress {
    Ingress::new("a/x")
        .note(name, value)
        .path("a.com", "Prefix", "/", "s")
}

fn plain() -> Ingress {
    Ingress::new("a/x").path("a.com", "Prefix", "/", "s")
}

/// Sends messages one by one, each after the answer to the one before; then ends, and takes the status. What stands
/// in front of HTTP/2 is sent in the same way as by any other client.
fn streams(proxy: &Proxy, socket: &str, messages: &[&'static str]) -> Vec<String> {
    let stream = connect(proxy, socket, SOMEBODY).unwrap();
    stream.set_nonblocking(true).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::UnixStream::from_std(stream).unwrap();
        let (client, connection) = handshake(stream).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = http::Request::post("http://a.com/pkg.Service/Talk")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let mut client = client.ready().await.unwrap();
        let (response, mut sent) = client.send_request(request, false).unwrap();
        let (first, rest) = messages.split_first().unwrap();
        sent.send_data(Bytes::from_static(first.as_bytes()), rest.is_empty())
            .unwrap();
        let response = response.await.unwrap();
        let mut told = vec![response.status().to_string()];
        for name in ["x-backend", "x-path"] {
            told.push(response.headers()[name].to_str().unwrap().to_owned());
        }
        let mut body = response.into_body();
        let mut left = rest.iter();
        while let Some(message) = body.data().await {
            let message = message.unwrap();
            told.push(String::from_utf8(message.to_vec()).unwrap());
            body.flow_control().release_capacity(message.len()).unwrap();
            if let Some(next) = left.next() {
                let end = left.len() == 0;
                sent.send_data(Bytes::from_static(next.as_bytes()), end).unwrap();
            }
        }
        let trailers = body.trailers().await.unwrap().unwrap();
        told.push(trailers["grpc-status"].to_str().unwrap().to_owned());
        told
    })
}

#[test]
fn case_18_grpc_is_http2_from_the_start_both_unary_and_streaming() {
    let world = World::of([simple("backend-protocol", "GRPC")]).speaking("s", Speaks::Http2);
    let Some(both) = world.start() else { return };
    for messages in [&["one"][..], &["one", "two", "three"]] {
        // nginx has a socket for either version of HTTP, Envoy one for both.
        let nginx = streams(&both.nginx, "h2.sock", messages);
        let envoy = streams(&both.envoy, "edge.sock", messages);
        let mut expected = vec!["200 OK", "a/s:80", "/pkg.Service/Talk"];
        expected.extend(messages);
        expected.push("0");
        assert_eq!(nginx, expected);
        assert_eq!(envoy, expected);
    }
    assert!(!both.done.says("timeout"), "no stream is cut");
}

/// Upgrades, says something, and takes who answered and what came back.
fn talk(proxy: &Proxy) -> String {
    let mut stream = connect(proxy, "edge.sock", SOMEBODY).unwrap();
    stream
        .write_all(
            b"GET /ws HTTP/1.1\r\nHost: a.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"a/s:80\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    let status = String::from_utf8_lossy(&seen).lines().next().unwrap().to_owned();
    stream.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    format!("{status} {}", String::from_utf8_lossy(&back))
}

#[test]
fn case_19_ws_is_http_with_an_upgrade_and_without_a_time_limit() {
    let ingress = simple("backend-protocol", "WS").note("proxy-read-timeout", "3600");
    let Some(both) = World::of([ingress]).start() else {
        return;
    };
    for proxy in [&both.nginx, &both.envoy] {
        assert_eq!(talk(proxy), "HTTP/1.1 101 Switching Protocols hello");
    }
    both.meets(&[("/", "s /")]);
    assert!(!both.done.says("timeout"), "no total time");
}

#[test]
fn case_20_https_back_ends_are_not_verified() {
    let world = World::of([simple("backend-protocol", "HTTPS")]).speaking("s", Speaks::Tls);
    let Some(both) = world.start() else { return };
    both.meets(&[("/p?x=1", "s /p?x=1")]);
}

#[test]
fn case_21_cors_answers_the_origins_that_are_allowed_and_no_other() {
    let named = simple("enable-cors", "true")
        .note("cors-allow-origin", "https://a.org, https://*.b.org")
        .note("cors-allow-methods", "GET,POST")
        .note("cors-allow-headers", "X-One,X-Two")
        .note("cors-max-age", "600");
    let Some(both) = World::of([named]).start() else {
        return;
    };
    let ask = |method: &str, origin: &str| {
        let request = http("a.com", "/")
            .with_method(method)
            .with_header("origin", origin)
            .with_header("access-control-request-method", "POST");
        both.each(SOMEBODY, &request).map(Option::unwrap)
    };
    let allowed = |seen: &crate::world::Seen| seen.headers.get("access-control-allow-origin").cloned();
    for origin in ["https://a.org", "https://x.b.org"] {
        for method in ["GET", "OPTIONS"] {
            let [nginx, envoy] = ask(method, origin);
            for seen in [&nginx, &envoy] {
                assert_eq!(allowed(seen).as_deref(), Some(origin), "{method}");
                assert_eq!(seen.headers["access-control-allow-credentials"], "true");
            }
        }
        // Preflights: nginx's 204 is 200 here, as the report says; what browsers read is the same.
        let [nginx, envoy] = ask("OPTIONS", origin);
        assert_eq!((nginx.status, envoy.status), (204, 200));
        assert!(
            nginx.backend.is_empty() && envoy.backend.is_empty(),
            "the edge answers"
        );
        for name in ["methods", "headers"] {
            let words = |seen: &crate::world::Seen| -> BTreeSet<String> {
                let all = &seen.headers[format!("access-control-allow-{name}").as_str()];
                all.split(',').map(|word| word.trim().to_owned()).collect()
            };
            assert_eq!(words(&nginx), words(&envoy), "{name}");
        }
        let age = |seen: &crate::world::Seen| seen.headers["access-control-max-age"].clone();
        assert_eq!((age(&nginx), age(&envoy)), ("600".to_owned(), "600".to_owned()));
    }
    for origin in ["https://evil.org", "https://x.y.b.org", "https://xa.org"] {
        let [nginx, envoy] = ask("GET", origin);
        assert_eq!((allowed(&nginx), allowed(&envoy)), (None, None), "{origin}");
        assert_eq!(
            nginx.to_string(),
            envoy.to_string(),
            "served, without the headers"
        );
        let [nginx, envoy] = ask("OPTIONS", origin);
        assert_eq!((allowed(&nginx), allowed(&envoy)), (None, None), "{origin}");
    }
    // Everybody: nginx says a star, Envoy the origin itself and no credentials; a browser takes either.
    let Some(both) = World::of([simple("enable-cors", "true")]).start() else {
        return;
    };
    let request = http("a.com", "/").with_header("origin", "https://any.org");
    let [nginx, envoy] = both.each(SOMEBODY, &request).map(Option::unwrap);
    assert_eq!(allowed(&nginx).as_deref(), Some("*"));
    assert_eq!(allowed(&envoy).as_deref(), Some("https://any.org"));
    assert!(!envoy.headers.contains_key("access-control-allow-credentials"));
    assert!(both.done.told("x", "CORS-ANY-ORIGIN"));
}

#[test]
fn case_23_canaries_by_header_by_cookie_and_by_weight() {
    let main = Ingress::new("a/main").path("a.com", "Prefix", "/", "s");
    let canary = |notes: &[(&str, &str)]| {
        let mut ingress = Ingress::new("a/canary")
            .note("canary", "true")
            .path("a.com", "Prefix", "/", "c");
        for (name, value) in notes {
            ingress = ingress.note(&format!("canary-{name}"), value);
        }
        World::of([main.clone(), ingress]).start()
    };
    // Whoever comes without a header or cookie has weight 0, so that only these decide.
    let Some(both) = canary(&[("weight", "0"), ("by-header", "X-Canary"), ("by-cookie", "beta")]) else {
        return;
    };
    for (headers, to) in [
        (&[][..], "s /"),
        (&[("x-canary", "always")], "c /"),
        (&[("x-canary", "never")], "s /"),
        (&[("x-canary", "other")], "s /"),
        (&[("cookie", "a=b; beta=always; c=d")], "c /"),
        (&[("cookie", "beta=never")], "s /"),
        (&[("cookie", "xbeta=always")], "s /"),
        (&[("x-canary", "never"), ("cookie", "beta=always")], "s /"),
        (&[("x-canary", "always"), ("cookie", "beta=never")], "c /"),
    ] {
        let mut request = http("a.com", "/");
        for (name, value) in headers {
            request = request.with_header(name, value);
        }
        assert_eq!(short(&both.told(&request)), to, "{headers:?}");
    }
    let value = [("by-header", "X-Canary"), ("by-header-value", "yes")];
    let Some(both) = canary(&value) else { return };
    for (header, to) in [("yes", "c /"), ("always", "s /")] {
        assert_eq!(
            short(&both.told(&http("a.com", "/").with_header("x-canary", header))),
            to
        );
    }
    let pattern = [("by-header", "X-Canary"), ("by-header-pattern", "^v[12]|beta")];
    let Some(both) = canary(&pattern) else { return };
    for (header, to) in [("my beta two", "c /"), ("v1", "c /"), ("v3", "s /")] {
        assert_eq!(
            short(&both.told(&http("a.com", "/").with_header("x-canary", header))),
            to
        );
    }
    // A total below 100 is ignored: 30 of 100, not 30 of 10. Of 200 requests 60 are expected, and fewer than 20 or more
    // than 100 come once in some 10^9 runs.
    let Some(both) = canary(&[("weight", "30"), ("weight-total", "10")]) else {
        return;
    };
    let mut taken = [0, 0];
    for _ in 0..200 {
        let seen = both.each(SOMEBODY, &http("a.com", "/"));
        for (side, seen) in seen.into_iter().enumerate() {
            taken[side] += usize::from(short(&seen.unwrap().to_string()) == "c /");
        }
    }
    assert!(taken.iter().all(|taken| (20..=100).contains(taken)), "{taken:?}");
}

#[test]
fn a_request_that_an_endpoint_has_seen_is_not_repeated_and_one_that_none_has_is() {
    let Some(both) = World::of([plain()]).speaking("s", Speaks::Busy).start() else {
        return;
    };
    for method in ["POST", "GET"] {
        let request = http("a.com", "/pkg.Service/Pay")
            .with_method(method)
            .with_header("content-type", "application/grpc");
        let [nginx, envoy] = both.each(SOMEBODY, &request).map(Option::unwrap);
        let asked = |seen: &crate::world::Seen| seen.headers["x-pod"].parse::<u8>().unwrap();
        assert_eq!(asked(&envoy), asked(&nginx) + 1, "{method}: each asks once");
    }
    // Of the two endpoints one is gone, and nobody notices.
    let Some(both) = World::of([plain()]).speaking("s", Speaks::Half).start() else {
        return;
    };
    for method in ["POST", "GET"] {
        for _ in 0..6 {
            let request = http("a.com", "/p").with_method(method);
            assert_eq!(short(&both.told(&request)), "s /p", "{method}");
        }
    }
}

/// nginx's half is Lua in ingress-nginx, so that only what Envoy makes of the objects can be seen here.
#[test]
fn case_24_with_the_returned_cookie_all_requests_meet_one_pod() {
    let ingress = simple("affinity", "cookie")
        .note("session-cookie-name", "route")
        .note("session-cookie-path", "/p")
        .note("session-cookie-max-age", "3600")
        .note("session-cookie-samesite", "Lax");
    let Some(both) = World::of([ingress]).speaking("s", Speaks::Pods).start() else {
        return;
    };
    let ask = |client: u8, cookie: Option<&str>| {
        let mut request = http("a.com", "/p");
        if let Some(cookie) = cookie {
            request = request.with_header("cookie", cookie);
        }
        let mut stream = connect(&both.envoy, "edge.sock", &format!("192.0.2.{client}")).unwrap();
        wire::exchange(&mut stream, &request).head
    };
    let text = |head: &[u8], name: &str| String::from_utf8(wire::header(head, name).unwrap()).unwrap();
    let mut pods = BTreeSet::new();
    for client in 0..30 {
        let first = ask(client, None);
        let set = text(&first, "set-cookie");
        for attribute in ["route=\"", "Path=/p", "Max-Age=3600", "SameSite=Lax"] {
            assert!(set.contains(attribute), "{set}");
        }
        let pod = text(&first, "x-pod");
        let cookie = set.split(';').next().unwrap();
        for _ in 0..3 {
            let again = ask(client + 100, Some(cookie));
            assert_eq!(text(&again, "x-pod"), pod);
            assert!(wire::header(&again, "set-cookie").is_none());
        }
        pods.insert(pod);
    }
    assert!(pods.len() > 1, "other clients meet other pods");
}
