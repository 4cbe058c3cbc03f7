use super::*;

fn one(text: &str) -> Inventory {
    read(&[Source {
        name: "a.yaml".to_owned(),
        text: text.to_owned(),
    }])
}

const SHOP: &str = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: shop, namespace: a}\nspec:\n  rules:\n  - host: a.com\n    http:\n      paths:\n      - {path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}\n";

#[test]
fn a_broken_document_names_its_number_and_line_and_spoils_no_other() {
    let text = format!("# head\n---\nkind: [Ingress\nmetadata: x: y\n---\n{SHOP}---\nnokind: 1\n---\n");
    let read = one(&text);
    assert_eq!(read.ingresses.len(), 1);
    let codes: Vec<(usize, usize, Code)> = read
        .problems
        .iter()
        .map(|p| (p.origin.document, p.origin.line, p.code))
        .collect();
    assert_eq!(codes.len(), 2, "{:?}", read.problems);
    assert_eq!(codes[0].2, Code::BrokenDocument);
    assert!((3..=4).contains(&codes[0].1), "{codes:?}");
    assert_eq!(codes[1].2, Code::BrokenObject);
    assert_eq!(read.ingresses.values().next().unwrap().origin.line, 6);
}

#[test]
fn lists_are_taken_apart_and_their_items_may_leave_their_kind_out() {
    let item: Value = serde_saphyr::from_str(SHOP).unwrap();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [item.clone()]});
    assert_eq!(one(&list.to_string()).ingresses.len(), 1);
    let mut bare = item;
    bare.as_object_mut().unwrap().remove("kind");
    bare.as_object_mut().unwrap().remove("apiVersion");
    let list =
        serde_json::json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressList", "items": [bare]});
    assert_eq!(one(&list.to_string()).ingresses.len(), 1);
}

#[test]
fn two_that_differ_under_one_name_are_both_refused_and_equal_ones_are_one() {
    assert_eq!(one(&format!("{SHOP}---\n{SHOP}")).ingresses.len(), 1);
    let other = SHOP.replace("a.com", "b.com");
    for text in [format!("{SHOP}---\n{other}"), format!("{other}---\n{SHOP}")] {
        let read = one(&text);
        assert!(read.ingresses.is_empty());
        assert_eq!(read.problems[0].code, Code::ObjectClash);
    }
}

#[test]
fn secrets_are_known_by_their_keys_alone() {
    let read = one(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: t, namespace: a}\ntype: kubernetes.io/tls\ndata: {tls.crt: c2VjcmV0, tls.key: c2VjcmV0, ca.crt: ''}\n",
    );
    let secret = read.secrets.values().next().unwrap();
    assert!(secret.has_certificate());
    assert!(!secret.keys.contains("ca.crt"));
    assert!(!format!("{read:?}").contains("c2VjcmV0"));
}

#[test]
fn older_versions_and_unknown_path_types_are_named() {
    let read = one(&SHOP.replace("networking.k8s.io/v1", "extensions/v1beta1"));
    assert_eq!(read.problems[0].code, Code::IngressVersion);
    let read = one(&SHOP.replace("Prefix", "Prefixx"));
    assert!(read.problems[0].detail.contains("Prefixx"), "{:?}", read.problems);
}

#[test]
fn the_controllers_flags_are_read_from_its_deployment() {
    let read = one(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: c}\nspec: {template: {spec: {containers: [{args: [/nginx-ingress-controller, --enable-ssl-passthrough]}]}}}\n",
    );
    assert_eq!(read.controller_flags, ["--enable-ssl-passthrough"]);
}

#[test]
fn many_documents_are_read_in_their_order() {
    let mut text = String::new();
    for n in 0..1000 {
        text.push_str(&SHOP.replace("name: shop", &format!("name: shop-{n}")));
        text.push_str("---\n");
    }
    text.push_str("kind: [\n");
    let read = one(&text);
    assert_eq!(read.ingresses.len(), 1000);
    let last = &read.ingresses[&("a".to_owned(), "shop-999".to_owned())];
    assert_eq!((last.origin.document, last.origin.line), (1000, 999 * 10 + 1));
    assert_eq!(read.problems[0].origin.document, 1001);
}
