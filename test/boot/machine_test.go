package boot_test

import "testing"

func TestUnitsOfTheMachineRun(t *testing.T) {
	m := machine(t)
	t.Logf("booted in %v", m.BootTime)
	for _, unit := range []string{"mariadb.service", "nginx.service", "php8.2-fpm.service", "redis-server.service", "cron.service", "dbus.service"} {
		if err := m.WaitActive(t.Context(), unit); err != nil {
			t.Error(err)
		}
	}
	failed, err := m.Must(t.Context(), "systemctl", "--failed", "--plain", "--no-legend")
	if err != nil || failed != "" {
		t.Errorf("failed units: %s (%v)", failed, err)
	}
	for _, c := range [][]string{{"mount"}, {"ls", "-la", "/", "/etc/systemd/system", "/etc/cron.d", "/var/www", "/home"}, {"ps", "ax"}, {"systemctl", "list-units", "--no-pager"}, {"systemctl", "list-timers", "--no-pager"}} {
		r, err := m.Run(t.Context(), c...)
		t.Log(r.Stdout, r.Stderr, err)
	}
}
