//! Clusters whose members come and go (rules W1 to W18 of `docs/views.md`).

mod fences;
mod maps;
mod places;
mod rebuilds;
mod reports;
mod transfers;
mod values;
