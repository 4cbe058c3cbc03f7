//! Which Service a destination's host names.

/// The Service (namespace, name) of a host as a VirtualService writes it; `None` for anything that is not a Service
/// of the cluster. A short name belongs to the VirtualService's own namespace.
pub(super) fn service_of(host: &str, namespace: &str) -> Option<(String, String)> {
    let labels: Vec<&str> = host.split('.').collect();
    let fits = labels.iter().all(|label| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    });
    if !fits {
        return None;
    }
    match labels.as_slice() {
        [name] => Some((namespace.to_owned(), (*name).to_owned())),
        [name, namespace] | [name, namespace, "svc"] | [name, namespace, "svc", "cluster", "local"] => {
            Some(((*namespace).to_owned(), (*name).to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_however_long_its_name_is_written() {
        let shop = Some(("apps".to_owned(), "shop".to_owned()));
        for host in [
            "shop",
            "shop.apps",
            "shop.apps.svc",
            "shop.apps.svc.cluster.local",
        ] {
            assert_eq!(service_of(host, "apps"), shop, "{host}");
        }
    }

    #[test]
    fn a_host_outside_the_cluster_names_no_service() {
        for host in [
            "shop.example.com",
            "*.apps.svc",
            "",
            "shop.",
            "10.0.0.1",
            "shop.apps.svc.example.org",
        ] {
            assert_eq!(service_of(host, "apps"), None, "{host}");
        }
    }
}
