//! Every metric family of the plugin.

use twarga_plugin_api::{Metric, Unit};

const fn device(name: &'static str, unit: Unit, help: &'static str) -> Metric<'static> {
    Metric::counter(name, unit, help).labels("device")
}

/// How many counters a line of `/proc/net/dev` has.
pub(crate) const COLUMNS: usize = 16;
/// The columns that the totals sum.
pub(crate) const RECEIVED_BYTES: usize = 0;
/// See [`RECEIVED_BYTES`].
pub(crate) const TRANSMITTED_BYTES: usize = 8;

/// The counters of an interface, in the order of the columns of `/proc/net/dev`.
pub(crate) const COUNTERS: [Metric; COLUMNS] = [
    device("host_network_receive_bytes_total", Unit::BYTES, "Bytes received."),
    device("host_network_receive_packets_total", Unit::NONE, "Packets received."),
    device("host_network_receive_errs_total", Unit::NONE, "Packets received with an error."),
    device(
        "host_network_receive_drop_total",
        Unit::NONE,
        "Packets received and dropped by the kernel or missed by the device.",
    ),
    device("host_network_receive_fifo_total", Unit::NONE, "Overruns of the receive FIFO."),
    device("host_network_receive_frame_total", Unit::NONE, "Length, overrun, CRC and framing errors."),
    device("host_network_receive_compressed_total", Unit::NONE, "Compressed packets received."),
    device("host_network_receive_multicast_total", Unit::NONE, "Multicast packets received."),
    device("host_network_transmit_bytes_total", Unit::BYTES, "Bytes transmitted."),
    device("host_network_transmit_packets_total", Unit::NONE, "Packets transmitted."),
    device("host_network_transmit_errs_total", Unit::NONE, "Packets that failed to be transmitted."),
    device("host_network_transmit_drop_total", Unit::NONE, "Packets dropped on their way to the device."),
    device("host_network_transmit_fifo_total", Unit::NONE, "Underruns of the transmit FIFO."),
    device("host_network_transmit_colls_total", Unit::NONE, "Collisions while transmitting."),
    device("host_network_transmit_carrier_total", Unit::NONE, "Carrier, abort, window and heartbeat errors."),
    device("host_network_transmit_compressed_total", Unit::NONE, "Compressed packets transmitted."),
];

/// How many numbers are known of a link.
pub(crate) const LINK_NUMBERS: usize = 5;

/// The numbers of a link, in the order of [`Facts`](crate::parse::link::Facts).
pub(crate) const LINK: [Metric; LINK_NUMBERS] = [
    Metric::gauge("host_network_carrier", Unit::NONE, "Whether the link has a carrier.").labels("device"),
    Metric::gauge("host_network_up", Unit::NONE, "Whether the operational state is `up`.").labels("device"),
    Metric::gauge("host_network_speed_bytes", Unit::BYTES, "Speed of the link in bytes per second.")
        .labels("device"),
    Metric::gauge("host_network_mtu_bytes", Unit::BYTES, "Largest packet that the interface takes.")
        .labels("device"),
    device("host_network_carrier_changes_total", Unit::NONE, "How often the carrier came or went."),
];

/// The place of `host_network_carrier_changes_total`, the only counter of [`LINK`].
pub(crate) const CARRIER_CHANGES: usize = 4;

/// The facts of a link that are no numbers.
pub(crate) const INFO: Metric = Metric::info("host_network_info", "Facts of the interface, the value is 1.")
    .labels("device,address,broadcast,duplex,operstate,adminstate,ifalias");

/// The totals: received, transmitted.
pub(crate) const TOTALS: [Metric; 2] = [
    Metric::counter(
        "host_network_all_receive_bytes_total",
        Unit::BYTES,
        "Bytes received by the interfaces that the option `total` names.",
    ),
    Metric::counter(
        "host_network_all_transmit_bytes_total",
        Unit::BYTES,
        "Bytes transmitted by the interfaces that the option `total` names.",
    ),
];

const fn stat(name: &'static str, help: &'static str) -> Metric<'static> {
    Metric::counter(name, Unit::NONE, help)
}

const fn count(name: &'static str, help: &'static str) -> Metric<'static> {
    Metric::gauge(name, Unit::NONE, help)
}

/// From `/proc/net/snmp`, in the order of the file. What follows `host_netstat_` is protocol and field.
pub(crate) const SNMP: &[Metric] = &[
    count("host_netstat_Ip_Forwarding", "1 where the host forwards IPv4, 2 where it does not."),
    stat("host_netstat_Icmp_InMsgs", "ICMP messages received."),
    stat("host_netstat_Icmp_InErrors", "ICMP messages received with an error."),
    stat("host_netstat_Icmp_OutMsgs", "ICMP messages sent."),
    stat("host_netstat_Tcp_ActiveOpens", "TCP connections opened by this host."),
    stat("host_netstat_Tcp_PassiveOpens", "TCP connections opened by others."),
    count("host_netstat_Tcp_CurrEstab", "TCP connections that are established or wait to be closed."),
    stat("host_netstat_Tcp_InSegs", "TCP segments received."),
    stat("host_netstat_Tcp_OutSegs", "TCP segments sent, repeated ones not counted."),
    stat("host_netstat_Tcp_RetransSegs", "TCP segments sent again."),
    stat("host_netstat_Tcp_InErrs", "TCP segments received with an error."),
    stat("host_netstat_Tcp_OutRsts", "TCP segments sent with the RST flag."),
    stat("host_netstat_Udp_InDatagrams", "UDP datagrams delivered."),
    stat("host_netstat_Udp_NoPorts", "UDP datagrams for a port where nobody listens."),
    stat("host_netstat_Udp_InErrors", "UDP datagrams that could not be delivered for another reason."),
    stat("host_netstat_Udp_OutDatagrams", "UDP datagrams sent."),
    stat("host_netstat_Udp_RcvbufErrors", "UDP datagrams dropped because a receive buffer was full."),
    stat("host_netstat_Udp_SndbufErrors", "UDP datagrams not sent because a send buffer was full."),
    stat("host_netstat_UdpLite_InErrors", "UDP-Lite datagrams that could not be delivered."),
];

/// From `/proc/net/netstat`, in the order of the file.
pub(crate) const NETSTAT: &[Metric] = &[
    stat("host_netstat_TcpExt_SyncookiesSent", "SYN cookies sent."),
    stat("host_netstat_TcpExt_SyncookiesRecv", "SYN cookies that came back."),
    stat("host_netstat_TcpExt_SyncookiesFailed", "SYN cookies that came back wrong."),
    stat("host_netstat_TcpExt_ListenOverflows", "Connections dropped because an accept queue was full."),
    stat("host_netstat_TcpExt_ListenDrops", "Connections dropped by listening sockets, for any reason."),
    stat("host_netstat_TcpExt_TCPTimeouts", "Expired TCP retransmission timers."),
    stat("host_netstat_TcpExt_TCPOFOQueue", "TCP segments queued because they came out of order."),
    stat("host_netstat_TcpExt_TCPSynRetrans", "SYN and SYN-ACK segments sent again."),
    stat("host_netstat_TcpExt_TCPRcvQDrop", "TCP segments dropped because a receive queue was full."),
    stat("host_netstat_IpExt_InOctets", "Bytes of IPv4 packets received."),
    stat("host_netstat_IpExt_OutOctets", "Bytes of IPv4 packets sent."),
];

/// From `/proc/net/snmp6`, in the order of the file.
pub(crate) const SNMP6: &[Metric] = &[
    stat("host_netstat_Ip6_InOctets", "Bytes of IPv6 packets received."),
    stat("host_netstat_Ip6_OutOctets", "Bytes of IPv6 packets sent."),
    stat("host_netstat_Icmp6_InMsgs", "ICMPv6 messages received."),
    stat("host_netstat_Icmp6_InErrors", "ICMPv6 messages received with an error."),
    stat("host_netstat_Icmp6_OutMsgs", "ICMPv6 messages sent."),
    stat("host_netstat_Udp6_InDatagrams", "UDP datagrams delivered over IPv6."),
    stat("host_netstat_Udp6_NoPorts", "UDP datagrams over IPv6 for a port where nobody listens."),
    stat("host_netstat_Udp6_InErrors", "UDP datagrams over IPv6 that could not be delivered otherwise."),
    stat("host_netstat_Udp6_OutDatagrams", "UDP datagrams sent over IPv6."),
    stat("host_netstat_Udp6_RcvbufErrors", "UDP datagrams over IPv6 dropped, a receive buffer was full."),
    stat("host_netstat_Udp6_SndbufErrors", "UDP datagrams over IPv6 not sent, a send buffer was full."),
    stat("host_netstat_UdpLite6_InErrors", "UDP-Lite datagrams over IPv6 that could not be delivered."),
];

/// From `/proc/net/sockstat`, in the order of the file; `_mem_bytes` is `_mem` times the size of a page.
pub(crate) const SOCKSTAT: &[Metric] = &[
    count("host_sockstat_sockets_used", "Sockets of all families."),
    count("host_sockstat_TCP_inuse", "TCP sockets in use, those in TIME-WAIT not counted."),
    count("host_sockstat_TCP_orphan", "TCP sockets that no process holds any more."),
    count("host_sockstat_TCP_tw", "TCP sockets in TIME-WAIT."),
    count("host_sockstat_TCP_alloc", "TCP sockets allocated, in any state."),
    count("host_sockstat_TCP_mem", "Memory of TCP buffers, in pages."),
    count("host_sockstat_UDP_inuse", "UDP sockets in use."),
    count("host_sockstat_UDP_mem", "Memory of UDP buffers, in pages."),
    count("host_sockstat_UDPLITE_inuse", "UDP-Lite sockets in use."),
    count("host_sockstat_RAW_inuse", "Raw sockets in use."),
    count("host_sockstat_FRAG_inuse", "IPv4 packets being reassembled."),
    count("host_sockstat_FRAG_memory", "Memory of IPv4 fragments waiting for the rest, in bytes."),
];

/// From `/proc/net/sockstat6`, in the order of the file.
pub(crate) const SOCKSTAT6: &[Metric] = &[
    count("host_sockstat_TCP6_inuse", "TCP sockets over IPv6 in use."),
    count("host_sockstat_UDP6_inuse", "UDP sockets over IPv6 in use."),
    count("host_sockstat_UDPLITE6_inuse", "UDP-Lite sockets over IPv6 in use."),
    count("host_sockstat_RAW6_inuse", "Raw sockets over IPv6 in use."),
    count("host_sockstat_FRAG6_inuse", "IPv6 packets being reassembled."),
    count("host_sockstat_FRAG6_memory", "Memory of IPv6 fragments waiting for the rest, in bytes."),
];

/// The memory of sockets in bytes, each with the metric in pages that it is made from.
pub(crate) const MEMORY: [(Metric, &str); 2] =
    [(MEMORY_METRICS[0], "host_sockstat_TCP_mem"), (MEMORY_METRICS[1], "host_sockstat_UDP_mem")];
const MEMORY_METRICS: [Metric; 2] = [
    Metric::gauge("host_sockstat_TCP_mem_bytes", Unit::BYTES, "Memory of TCP buffers."),
    Metric::gauge("host_sockstat_UDP_mem_bytes", Unit::BYTES, "Memory of UDP buffers."),
];

const PARTS: [&[Metric]; 10] =
    [&COUNTERS, &LINK, &[INFO], &TOTALS, SNMP, NETSTAT, SNMP6, SOCKSTAT, SOCKSTAT6, &MEMORY_METRICS];

const fn length(parts: &[&[Metric]]) -> usize {
    let (mut sum, mut i) = (0, 0);
    while i < parts.len() {
        sum += parts[i].len();
        i += 1;
    }
    sum
}

/// All of them.
pub(crate) const ALL: [Metric; length(&PARTS)] = {
    let mut all = [INFO; length(&PARTS)];
    let (mut part, mut i, mut at) = (0, 0, 0);
    while part < PARTS.len() {
        while i < PARTS[part].len() {
            all[at] = PARTS[part][i];
            at += 1;
            i += 1;
        }
        part += 1;
        i = 0;
    }
    all
};
