package metrics

import "github.com/prometheus/client_golang/prometheus"

// What is exported. docs/metrics.md says what each is for.
var (
	memberships = describe("memberships", "Memberships in each state.", "state")
	channels    = describe("channels_joined", "Channels that the kernel holds, each on each interface.")
	sockets     = describe("sockets", "Sockets of ssmd's own that hold memberships, those that are parked among them.")

	attaches    = describe("attaches_total", "Memberships that were attached to an interface.")
	detaches    = describe("detaches_total", "Memberships that were detached from an interface, by the cause.", "cause")
	reattaches  = describe("reattaches_total", "Attaches that took a lost interface's place.")
	reattach    = describe("reattach_seconds", "Time of a reattachment, from the reading of the event that led to it to the last join.")
	reannounces = describe("reannounces_total", "Memberships that were announced anew on an interface, by the cause.", "cause")

	repairs    = describe("repairs_total", "Channels that the kernel had lost and that were joined again.")
	joinErrors = describe("join_errors_total", "Joins that the kernel refused, each try, by the name of the errno.", "errno")
	events     = describe("netlink_events_total", "Messages of links and addresses from the kernel, those of dumps among them, by type.", "type")
	overruns   = describe("netlink_overruns_total", "Times that the kernel dropped messages, after which all interfaces were compared anew.")

	handoffs        = describe("handoffs", "Sockets of applications that are handed over.")
	handoffsTotal   = describe("handoffs_total", "Sockets that applications handed over.")
	handoffsRefused = describe("handoffs_refused_total", "Connections of applications that brought no socket that was taken.")

	reloaded   = describe("config_last_reload_successful", "1 where the last reading of the configuration went well, else 0.")
	reloadedAt = describe("config_last_reload_success_timestamp_seconds", "When the configuration was last read well, as Unix time.")
	build      = describe("build_info", "Always 1; the labels say which program it is.", "version", "revision", "goversion")
)

var all []*prometheus.Desc

func describe(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("ssmd_"+name, help, labels, nil)
	all = append(all, d)
	return d
}
