package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// exporterPort is the exporter's usual one, taken when it is free.
const exporterPort = 10059

// writeConfig writes the exporter's configuration. An ordinary host needs none; here everything
// lies where nobody would look for it.
func (d *demo) writeConfig() error {
	type object = map[string]any
	config := object{
		"services": []string{}, // the demo's parts are no systemd units
		"backup": object{
			"dir":          filepath.Join(d.dir, "backups"),
			"config_paths": []string{filepath.Join(d.dir, "nginx"), filepath.Join(d.dir, "php-fpm")},
			"log_paths":    []string{filepath.Join(d.dir, "nginx", "access.log")},
			"system_paths": []string{"/etc/os-release"},
		},
	}
	if d.site != nil {
		password, err := d.secretFile("monitor", monitorPassword)
		if err != nil {
			return err
		}
		config["sites"] = []object{{
			"name": d.site.Name, "dir": d.site.CodeDir, "user": d.site.Web.Name,
			"database": object{
				"monitor": object{"user": monitorUser, "password_file": password, "socket": d.database.Socket},
				"admin":   object{"user": d.database.RootUser(), "socket": d.database.Socket},
			},
		}}
	}
	if d.nginx != nil {
		config["phpfpm"] = []object{{"listen": d.fpm.StatusListen, "path": d.fpm.StatusPath}}
		config["nginx"] = []string{d.nginx.StubStatusURL}
		config["certificates"] = object{"endpoints": []string{d.nginx.Address}, "files": []string{d.nginx.CertificateFile}}
	}
	if d.redis != nil {
		password, err := d.secretFile("redis", redisPassword)
		if err != nil {
			return err
		}
		config["redis"] = []object{{"address": d.redis.Address, "password_file": password}}
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("write the exporter's configuration: %w", err)
	}
	d.config = filepath.Join(d.dir, "moodle-exporter.yml")
	return os.WriteFile(d.config, text, 0o600)
}

func (d *demo) secretFile(name, secret string) (string, error) {
	path := filepath.Join(d.dir, name+".password")
	return path, os.WriteFile(path, []byte(secret+"\n"), 0o600)
}

// flags are those that every command of the exporter gets here.
func (d *demo) flags() []string {
	return []string{"--config.file=" + d.config, "--state.dir=" + filepath.Join(d.dir, "state")}
}

// environment makes the exporter trust the demo's own certificate.
func (d *demo) environment() []string {
	if d.nginx == nil {
		return nil
	}
	return []string{"SSL_CERT_FILE=" + d.nginx.CertificateFile}
}

// command runs one command of the exporter and returns what it said and its exit code.
func (d *demo) command(ctx context.Context, arguments ...string) (string, int, error) {
	cmd := exec.CommandContext(ctx, d.exporter, append(arguments, d.flags()...)...)
	cmd.Env = append(os.Environ(), d.environment()...)
	cmd.Dir = d.dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", 0, fmt.Errorf("run %s: %w", strings.Join(arguments, " "), err)
	}
	return string(out), cmd.ProcessState.ExitCode(), nil
}

// mustCommand is command where any exit code but 0 is an error.
func (d *demo) mustCommand(ctx context.Context, arguments ...string) (string, error) {
	out, code, err := d.command(ctx, arguments...)
	if err == nil && code != 0 {
		err = fmt.Errorf("moodle-exporter %s ended with %d: %s", strings.Join(arguments, " "), code, strings.TrimSpace(out))
	}
	return out, err
}

func (d *demo) makeBackup(ctx context.Context) error {
	if _, err := d.mustCommand(ctx, "backup"); err != nil {
		return err
	}
	list, err := d.mustCommand(ctx, "backup", "list")
	if err != nil {
		return err
	}
	fmt.Print(indent(list))
	return nil
}

func (d *demo) startExporter(ctx context.Context) error {
	port := exporterPort
	if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		port = 0
	} else if err := l.Close(); err != nil {
		return err
	}
	var err error
	d.serve, err = stand.StartExporter(ctx, d.dir, stand.ExporterOptions{
		Binary: d.exporter, Port: port, Environment: d.environment(), Args: d.flags(),
	})
	if err != nil {
		return err
	}
	d.atEnd(d.serve.Close)
	return nil
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		b.WriteString("        " + line)
	}
	return b.String()
}
