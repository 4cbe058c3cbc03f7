//! Object JSON to weights, weights to patches. Pure; one file per router.
