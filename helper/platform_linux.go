package main

import (
	"context"
	"os"
)

func defaultStateDir() string { return "/var/lib/kith" }

// serviceArgs is how the service manager starts kithd.
var serviceArgs = []string{"run"}

// ManagerFlags has nothing: systemd takes a program as it is.
type ManagerFlags struct{}

// unit is the systemd unit: it may do to the network what it must, and little
// else. Resolvers that want port 53 of every address start before it. The
// proxy of the machine is where Debian and its like keep it.
const unit = `[Unit]
Description={{Description}}
After=network-pre.target dbus.service systemd-resolved.service dnsmasq.service pihole-FTL.service named.service unbound.service
Wants=network-pre.target
StartLimitIntervalSec=60
StartLimitBurst=20

[Service]
Type=simple
EnvironmentFile=-/etc/environment
ExecStart={{Path | cmdEscape}}{{range Arguments}} {{. | cmd}}{{end}}
ExecStopPost={{Path | cmdEscape}} cleanup --keep-block
Restart=on-failure
RestartSec=500ms
KillMode=mixed
StateDirectory=kith
StateDirectoryMode=0700
RuntimeDirectory=kith
RuntimeDirectoryMode=0755
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_DAC_OVERRIDE CAP_FOWNER CAP_CHOWN
DeviceAllow=/dev/net/tun rw
DevicePolicy=closed
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ReadWritePaths=/etc
ProtectHome=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET

[Install]
WantedBy=multi-user.target
`

// Run serves in the foreground, which is all that systemd wants of a service.
func (c *runCmd) Run(ctx context.Context) error { return c.serve(ctx, os.Stderr) }
