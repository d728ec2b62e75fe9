//! What every adapter has to pass: the suite that says whether a [`Runtime`](crate::Runtime) is one.
//!
//! A test of a few lines runs all of it. It says how a future of the adapter is driven to its end, and gets a test for
//! each case:
//!
//! ```ignore
//! fn run<F: Future<Output = ()>>(case: impl FnOnce(SmolRuntime) -> F) {
//!     smol::block_on(case(SmolRuntime::default()));
//! }
//!
//! lockmaster_async::conformance!(run);
//! ```
//!
//! Who has several ways to run tasks (one thread, many, an executor of one's own) does so once for each, every time in a
//! module of its own. The futures of cases are polled where `run` polls them, and need not be [`Send`]; what they spawn is.
//!
//! | topic | what is checked |
//! |---|---|
//! | `contract` | what the runtime itself has promised: its clock, its sleep, its sockets, and that they wake who waits |
//! | `wakers` | whole clusters of which every future is polled only when its last waker was woken |
//! | `clock` | a clock that jumps, or stands still, while nodes run |
//! | `locks` | modes, conversions, value blocks, retention |
//! | `ready` | retained locks that are taken again and again |
//! | `waiting` | waits that are cancelled at every point, time out, are cut short by shutdown, or are very many |
//! | `connections` | sockets that are cut, stuck, garbled, refused, and made again |
//! | `transfers` | slots that move while their locks are in use |
//! | `membership`, `leaving` | members that come, go, and come back |
//! | `machines` | nodes that run several machines |
//! | `tls`, `joining` | nodes that prove themselves, and peers that cannot |
//!
//! No case sleeps in the hope that something has happened by then, and none says how long something takes. One that waits
//! for a socket lets other tasks run until the effect is there, and fails if that does not come within a minute or two.
//!
//! A runtime whose tasks all run on one thread can be asked for more: [`yields_to_its_sockets`].

#![expect(clippy::unwrap_used, reason = "these are tests: what is not as it has to be ends one")]

mod clock;
mod connections;
mod contract;
mod crowd;
mod leaving;
mod locks;
mod machines;
mod membership;
mod proxy;
mod ready;
mod rig;
mod script;
mod steered;
mod task;
mod tls;
mod transfers;
mod waiting;
mod wakers;

pub use contract::yields_to_its_sockets;
use tls::joining;

/// The cases, for [`conformance!`](crate::conformance!) alone.
#[doc(hidden)]
pub mod cases {
    crate::conformance!(@list functions);
}

/// Makes a test of each case of the [suite](mod@crate::conformance). The argument is the name of a function that makes a
/// runtime, gives it to a case, and drives the future that comes of it to its end. A second one says how many machines
/// each node of the suite runs, which is one otherwise.
#[macro_export]
macro_rules! conformance {
    ($run:ident) => { $crate::conformance!($run, 1); };

    ($run:ident, $machines:literal) => { $crate::conformance!(@list tests $run $machines); };

    (@tests [$run:ident $machines:literal] $($topic:ident { $($case:ident)* })*) => {
        $(mod $topic {
            $(#[test]
            fn $case() {
                super::$run(|runtime| $crate::conformance::cases::$topic::$case(runtime, $machines));
            })*
        })*
    };

    (@functions [] $($topic:ident { $($case:ident)* })*) => {
        $(pub mod $topic {
            $(pub async fn $case<R: $crate::Runtime + Clone>(runtime: R, machines: u8) {
                let rig = $crate::conformance::rig::Rig::new(runtime, machines);
                $crate::conformance::rig::bounded($crate::conformance::$topic::$case(&rig)).await;
            })*
        })*
    };

    (@list $what:ident $($run:ident $machines:literal)?) => {
        $crate::conformance! { @$what [$($run $machines)?]
            contract {
                the_clock_never_goes_back
                the_clock_is_that_of_all_processes
                sleep_ends_when_its_time_has_come
                a_long_sleep_is_no_short_one
                tasks_run_to_their_end
                who_yields_lets_others_run
                an_address_where_nobody_listens_is_an_error
                a_full_socket_says_so_and_goes_on
                close_ends_every_wait
                the_end_of_a_peer_is_heard_by_who_writes
                a_connection_ends_with_both_its_halves
                what_is_read_later_is_not_lost
                who_is_accepted_later_is_not_lost
                who_reads_lets_others_run
            }
            wakers {
                nodes_share_and_exclude
                thousands_of_tasks_all_finish
                shutdown_ends_every_wait
                connections_are_made_again
                a_stuck_socket_goes_on
                slots_go_round
                members_come_back
                nodes_prove_themselves
            }
            clock {
                a_jump_ends_membership_in_the_next_look
                a_jump_tells_who_waits_for_the_loss
                a_jump_ends_patience
                a_clock_that_goes_back_and_forth_loses_nothing
                a_clock_that_stands_still_holds_up_no_lock
            }
            locks {
                a_node_alone_needs_no_network
                three_nodes_share_and_exclude
                three_nodes_pass_a_lock_round
                the_path_says_who_was_asked
                a_retained_lock_is_taken_again_without_a_message
                a_demand_moves_a_retained_lock
                a_lock_that_is_merely_retained_elsewhere_is_not_busy
                a_dropped_guard_lets_the_next_one_in
                a_holder_learns_who_waits
                conversions_go_up_and_down
                a_conversion_times_out_and_the_mode_stays
                a_value_goes_from_writer_to_reader
                a_conversion_writes_and_reads_the_value
                a_refused_conversion_keeps_the_edit
                bad_requests_are_refused_with_the_reason
                a_snapshot_prints_who_waits_for_whom
            }
            ready {
                tokens_rise_while_nobody_else_is_asked
                whoever_wants_it_gets_it
                other_ways_to_ask_find_it_free
                it_excludes_as_any_other
                its_holder_can_do_what_others_can
                the_end_of_a_life_is_its_end
                a_guard_of_an_earlier_life_ends_no_later_one
                nothing_is_taken_that_is_not_certain
                who_leaves_gives_it_up
                it_makes_room
                it_is_seen_as_what_it_is
                it_keeps_no_node_alive
            }
            waiting {
                a_future_that_was_never_polled_asks_for_nothing
                cancelled_futures_leave_nothing_behind
                what_was_granted_and_not_fetched_is_released
                a_conversion_that_was_granted_and_not_fetched_counts
                cancelled_waiters_do_not_stand_in_the_way
                a_cancelled_conversion_keeps_a_mode_that_others_agree_on
                a_leaked_conversion_is_ended_by_the_next_one
                patience_ends
                shutdown_ends_every_wait
                a_guard_can_be_dropped_outside_the_runtime
                the_last_handle_ends_the_node
                thousands_of_tasks_on_few_resources_all_finish
            }
            connections {
                a_cut_connection_is_made_again_and_nothing_is_lost
                a_connection_that_is_hung_up_is_made_again
                locks_come_and_go_while_connections_are_cut
                a_member_that_does_not_read_stops_nobody_else
                a_slow_member_gets_everything_in_the_end
                garbage_ends_only_its_own_connection
                garbage_after_a_hello_ends_the_connection_and_not_the_node
                another_incarnation_is_refused
                a_node_that_is_configured_otherwise_is_refused
                addresses_that_others_can_reach_are_refused
                a_node_that_cannot_work_does_not_start
                a_node_frees_its_address_when_it_ends
                a_cluster_of_five_forgets_everything_that_was_released
            }
            transfers {
                every_node_has_the_same_map_at_first
                locks_stay_held_and_waiting_while_their_slots_move
                a_transfer_tells_how_far_it_is
                a_future_that_was_never_polled_transfers_nothing
                a_dropped_future_lets_the_transfer_go_on
                a_transfer_is_withdrawn_before_it_moves_anything
                what_cannot_be_transferred_is_refused_in_the_call
                only_so_many_transfers_go_on_at_a_time
                a_node_without_room_refuses
                a_node_that_has_not_heard_all_gives_nothing_away
                shutdown_ends_the_wait_for_a_transfer
                small_chunks_bring_everything_too
                locks_come_and_go_while_slots_go_round
            }
            membership {
                a_node_alone_grants_once_it_has_a_view
                a_provider_may_choose_the_number
                nodes_that_join_share_locks_and_slots
                slots_stay_where_they_are_if_they_are_to
                what_a_dead_member_held_is_granted_to_others_and_lost_to_it
                a_lost_guard_converts_no_more_and_its_drop_does_nothing
                who_waits_goes_on_waiting_while_its_node_is_fenced
                a_node_that_is_fenced_again_and_again_comes_back
                a_view_without_a_node_ends_its_life
                an_inbox_of_an_earlier_life_does_nothing
                a_restarted_node_is_another_incarnation
                membership_that_is_not_renewed_is_suspect_and_then_over
                who_knows_the_view_later_is_connected_to_later
                a_member_is_dialled_where_the_last_view_says
                a_member_that_nobody_reaches_is_dialled_no_more_once_it_departs
                a_start_that_cannot_join_says_why
                a_start_that_is_given_up_leaves_no_member
                a_wait_may_end_while_its_node_is_fenced
                a_node_whose_provider_panics_has_lost_its_locks_when_the_session_is_dropped
            }
            leaving {
                a_node_that_leaves_gives_everything_away
                a_drained_node_masters_nothing_and_grants
                a_node_that_leaves_waits_for_its_guards
                a_node_that_must_leave_at_once_loses_its_guards
                a_node_that_masters_nothing_leaves_when_its_view_says_so
                a_node_whose_view_does_not_say_that_it_leaves_says_so_again
                a_node_whose_engine_cannot_be_told_leaves_all_the_same
                a_node_leaves_when_others_know_that_it_has_nothing
                a_node_that_leaves_does_not_wait_for_locks_of_others
                a_node_that_leaves_takes_back_what_nobody_has_fetched
                the_last_node_leaves_without_asking_anybody
                a_node_that_is_fenced_while_it_leaves_has_nothing_to_wait_for
                a_node_that_is_shut_down_or_dropped_leaves_as_well
                nodes_that_all_leave_at_once_wait_for_nobody
            }
            machines {
                a_resource_is_of_the_same_machine_on_all_nodes
                a_range_of_slots_moves_on_every_machine
                a_part_that_is_refused_takes_the_others_back
                nodes_with_other_numbers_of_machines_refuse_each_other
                nodes_that_name_other_numbers_run_as_many_as_the_members
                where_no_number_is_named_there_is_a_machine_for_each_core
                a_configuration_that_a_provider_makes_up_is_refused
                a_node_stays_outside_a_cluster_that_was_founded_otherwise
                so_many_machines_as_cannot_be_do_not_start
                a_fenced_node_comes_back_with_all_machines
                shutdown_ends_waits_on_every_machine
                a_node_of_several_machines_leaves_with_nothing_left
            }
            tls {
                nodes_take_locks_from_one_another
                a_connection_is_made_again_while_the_certificates_last
                an_expired_certificate_of_who_dials_is_refused
                an_expired_certificate_of_who_accepts_is_refused
                another_authority_is_refused_by_who_dials
                another_authority_is_refused_by_who_accepts
                a_certificate_for_another_use_is_refused
                who_shows_no_certificate_is_refused
                a_hello_of_another_node_than_the_certificate_is_refused
                a_node_that_was_not_dialled_is_refused
                another_cluster_of_the_same_authority_is_refused
                a_good_certificate_does_not_help_a_hello_of_another_cluster
                an_earlier_life_is_refused
                tls_on_one_side_alone_is_told
                garbage_is_refused
                another_protocol_inside_is_refused
                more_than_a_hello_is_not_read_before_it
                a_peer_that_stops_half_way_is_given_up
                half_open_connections_are_bounded_and_members_come_in_after_them
                with_tls_a_node_may_be_reached_from_elsewhere
                papers_of_another_node_do_not_start_one
            }
            joining {
                nodes_that_join_prove_themselves
                a_node_that_comes_back_proves_itself_again
                a_member_by_the_view_alone_is_none
                papers_of_another_number_are_refused_at_the_start
                what_proves_itself_may_be_reached_from_elsewhere
            }
        }
    };
}
