//! A count that cannot be read is not known, and never no request.

use crate::cleanup::{ready, telling};
use crate::support::migrate_by;
use gradual_rollout_toolkit::trouble::End;

#[tokio::test(start_paused = true)]
async fn a_page_of_metrics_that_cannot_be_read_whole_makes_the_count_unknown() {
    let (store, clock, _dir, dir) = ready().await;
    let words = ["-n", "ns-a", "cleanup", "--dir", &dir, "--dry-run"];
    for (value, known) in [
        (" 7\n", true),
        (" 7 1700000000000\n", true),
        (" NaN\n", false),
        (" abc\n", false),
        ("\n", false),
        (" -1\n", false),
        (" 12", false),
    ] {
        let said = migrate_by(telling(&store, value), &clock, &words).await;
        assert_eq!(said.end.unwrap(), End::Refused);
        assert_eq!(
            !said.err.contains("CLEANUP-COUNT-UNKNOWN"),
            known,
            "{value:?}: {}",
            said.err
        );
        assert_eq!(
            said.err.contains("CLEANUP-COUNTING"),
            known,
            "{value:?}: {}",
            said.err
        );
    }
}
