//! What it costs to read a path and to find a route.

fn main() {}
