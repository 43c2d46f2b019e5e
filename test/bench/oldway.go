package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// oldBackup is what the scripts did, without logs and /etc, which weigh nothing.
func (h *host) oldBackup(ctx context.Context) (usage, error) {
	if err := h.putAway(h.old()); err != nil {
		return usage{}, err
	}
	if err := os.MkdirAll(h.old(), 0o700); err != nil {
		return usage{}, err
	}
	return measure(h.script(ctx, `
`+dump+` | gzip >"$OLD/db.sql.gz"
tar -czf "$OLD/code.tar.gz" -C "$(dirname "$CODE")" "$(basename "$CODE")"
tar -czf "$OLD/data.tar.gz" -C "$(dirname "$DATA")" "$(basename "$DATA")"`))
}

const dump = `mariadb-dump --no-defaults -S "$SOCKET" -u "$ADMIN" --single-transaction --routines --triggers --events --hex-blob --opt "$DATABASE"`

// dumpAlone reads the whole database out and keeps nothing of it.
func (h *host) dumpAlone(ctx context.Context) (usage, error) {
	return measure(h.script(ctx, dump+` >/dev/null`))
}

// oldVerify is all that can be done with these files but to restore them.
func (h *host) oldVerify(ctx context.Context) (usage, error) {
	return measure(h.script(ctx, `gzip -t "$OLD"/*.gz`))
}

// oldRestore is what the scripts did, without stopping services, and without changing owners and modes.
func (h *host) oldRestore(ctx context.Context) (usage, error) {
	return measure(h.script(ctx, createDatabase+`
gunzip -c "$OLD/db.sql.gz" | mariadb --no-defaults -S "$SOCKET" -u "$ADMIN" "$DATABASE"
tar -xzf "$OLD/code.tar.gz" -C "$(dirname "$CODE")"
tar -xzf "$OLD/data.tar.gz" -C "$(dirname "$DATA")"`))
}

const createDatabase = `
mariadb --no-defaults -S "$SOCKET" -u "$ADMIN" -e "CREATE DATABASE $DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"`

func (h *host) old() string { return filepath.Join(h.dir, "old") }

// script is a script of the shell, which finds in its environment where everything lies. A failure in a pipe is one.
func (h *host) script(ctx context.Context, text string, environment ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
	command.Env = append(os.Environ(), "SOCKET="+h.database.Socket, "ADMIN="+h.database.RootUser(), "DATABASE="+h.site.Database,
		"CODE="+h.site.CodeDir, "DATA="+h.site.Dataroot, "OLD="+h.old())
	command.Env = append(command.Env, environment...)
	command.Stderr = os.Stderr
	return command
}
