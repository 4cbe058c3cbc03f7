//! Texts of strangers' against what reads settings.

use super::{Flags, Settings, is_name};

/// A settings file.
pub(crate) fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let read = || Settings::understood(Some(("file.toml", text)), [], &Flags::default());
    let settings = match read() {
        Ok(settings) => settings,
        Err(error) => {
            let told = error.to_string();
            assert!(
                told.starts_with("file.toml") || told.contains("settings"),
                "{told:?}"
            );
            return;
        }
    };
    assert_eq!(read().as_ref(), Ok(&settings), "the same text says the same");
    assert!(is_name(&settings.namespace));
    assert!(settings.lease.shards > 0);
    if let Some(prometheus) = &settings.prometheus {
        assert!(!prometheus.endpoints.is_empty());
        assert!(prometheus.timeout <= prometheus.total_timeout);
        let shown = format!("{:?}", prometheus.headers);
        for value in prometheus
            .headers
            .0
            .values()
            .filter(|v| v.len() > "[redacted]".len())
        {
            assert!(!shown.contains(value.as_str()), "a header's value is not shown");
        }
    }
}
