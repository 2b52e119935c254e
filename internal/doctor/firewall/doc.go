// Package firewall tells which packets the rules of a network namespace would
// drop. It reads the rules of nftables by netlink, which also has those that
// iptables-nft made, and those of the older iptables by its own program where
// that has any tables in use. It only reads, and has the kernel load no module.
//
// The rules are run for a packet of which only some bytes are known, so that
// each comparison comes out as yes, no, or perhaps. google/nftables decodes
// them; that is a matter of dozens of messages that change with the kernel. The
// program nft does the same in text, where it is installed.
package firewall
