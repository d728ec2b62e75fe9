//! Clusters whose members come and go (rules W1 to W20 of `docs/views.md`).

mod early;
mod fences;
mod full;
mod maps;
mod places;
mod rebuilds;
mod reports;
mod stale;
mod transfers;
mod values;
