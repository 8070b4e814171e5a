//! What every driver must do, whatever its runtime.
//!
//! Each case is a function over a [`Runtime`]; [`contract`](crate::contract!) makes a test of each.
//! Nothing here waits for a time to pass: a case waits for what must happen, and fails when it has
//! not within a generous deadline.
//!
//! - [`world`]: nodes of a case, and how long they may take;
//! - [`streams`]: what two peers do with streams, over every transport;
//! - [`failures`]: what a remote or the system does wrong;
//! - [`closing`]: in which order things end, and who is turned away;
//! - [`lifecycle`]: many connections, the end of a node, and what it leaves behind;
//! - [`names`]: names in addresses;
//! - [`gossip`]: topics and their messages;
//! - [`application`]: the trait that is neither async nor blocking;
//! - [`sockets`]: the runtime's own sockets and timers;
//! - [`counting`]: a runtime that knows how many of its tasks run;
//! - [`trickling`]: a runtime whose TCP moves a few bytes at a time; [`stalling`]: one whose TCP
//!   stops being read.
//!
//! Some cases take a process for themselves, and are run by tests of their own:
//! - [`scenario`]: eight nodes, and the replay of their logs;
//! - [`endurance`]: ten thousand connections;
//! - [`slow`]: one peer that stops reading while fifty others work; [`feed`]: the protocol that
//!   tells all of them the same.
#![allow(missing_docs, reason = "a case says in its name what it is about")]

pub mod application;
pub mod closing;
pub mod counting;
pub mod endurance;
pub mod failures;
pub mod feed;
pub mod gossip;
pub mod lifecycle;
pub mod names;
pub mod scenario;
pub mod slow;
pub mod sockets;
pub mod stalling;
pub mod streams;
pub mod trickling;
pub mod world;

pub use sanspeer_driver::runtime::Runtime;

/// Makes a test of each case. `$run` is a macro or function that gives a runtime to an async
/// function and runs it to its end.
#[macro_export]
macro_rules! contract {
    ($run:ident) => {
        $crate::contract_cases! { $run;
            streams: tcp_noise_echoes_16_mib_with_a_half_close,
                tcp_tls_echoes_16_mib_with_a_half_close,
                quic_echoes_16_mib_with_a_half_close,
                memory_echoes_16_mib_with_a_half_close,
                quic_echoes_over_ipv6,
                tcp_echoes_over_ipv6,
                tcp_carries_200_streams_at_once,
                quic_carries_200_streams_at_once,
                memory_carries_200_streams_at_once,
                a_protocol_of_several_is_agreed_on,
                a_protocol_that_nobody_speaks_is_refused,
                a_dropped_stream_is_reset_and_a_finished_one_arrives,
                a_full_acceptor_loses_no_stream,
                a_reader_that_waits_delays_nobody;
            failures: a_wrong_expected_peer_is_a_failed_dial,
                an_address_in_use_is_said,
                an_address_of_nobody_is_said,
                a_refused_dial_is_said,
                a_transport_that_nobody_has_is_said,
                garbage_on_the_socket_leaves_the_node_alive,
                garbage_datagrams_leave_the_node_alive,
                a_peer_is_not_its_own;
            closing: a_connection_is_closed_before_its_peer_is_gone_and_nothing_follows,
                each_direction_ends_by_itself,
                a_refused_peer_is_told_and_disturbs_nobody;
            trickling: partial_reads_and_writes_lose_nothing;
            lifecycle: a_disconnect_ends_the_streams_and_is_told_to_both,
                a_lost_peer_is_dialled_again,
                shutdown_sends_what_was_written_and_ends_everything,
                a_dropped_handle_shuts_the_node_down,
                an_address_is_free_after_unlisten_and_connections_stay,
                connections_come_and_go_without_a_trace;
            names: dnsaddr_is_followed_to_its_addresses,
                a_long_answer_about_dnsaddr_comes_over_tcp,
                a_name_of_nothing_is_said,
                a_host_name_is_dialled_over_both_transports;
            gossip: messages_arrive_once_over_tcp,
                messages_arrive_once_over_quic,
                a_message_goes_on_when_it_is_accepted,
                a_topic_is_left_with_its_last_subscription,
                a_node_that_does_not_gossip_says_so;
            application: a_handle_is_a_network_that_never_waits;
            sockets: a_timer_is_due_and_can_be_set_again,
                a_stream_moves_what_there_is_room_for,
                a_host_is_looked_up;
        }
    };
}

/// What [`contract!`] is made of.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_cases {
    ($run:ident; $($module:ident: $($case:ident),+;)+) => {
        $(mod $module {
            $(#[test]
            fn $case() {
                super::$run(|runtime| $crate::contract::$module::$case(runtime));
            })+
        })+
    };
}
