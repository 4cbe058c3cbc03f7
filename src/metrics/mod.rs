//! Where samples come from: Prometheus, or the simulation.
