//! One file per verb; rendering; exit codes.
