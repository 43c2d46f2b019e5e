package stand_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func writeRules(t *testing.T, dir, text string) string {
	t.Helper()
	file := filepath.Join(dir, "rules.yml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestMain also serves as the process that TestNothingStaysBehind kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STAND_TO_BE_KILLED"); dir != "" {
		standUntilKilled(dir)
	}
	os.Exit(m.Run())
}

func standUntilKilled(dir string) {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	db, err := stand.StartMariaDB(ctx, dir, stand.MariaDBOptions{})
	must(err)
	fpm, err := stand.StartPHPFPM(ctx, dir)
	must(err)
	redis, err := stand.StartRedis(ctx, dir, "x")
	must(err)
	site, err := stand.NewSite(ctx, dir, db, stand.SiteOptions{})
	must(err)
	nginx, err := stand.StartNginx(ctx, dir, site, fpm, stand.NginxOptions{})
	must(err)
	fmt.Println("ready", db.Pid(), fpm.Pid(), redis.Pid(), nginx.Pid())
	select {}
}

func TestNothingStaysBehind(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Redis, stand.Nginx)
	dir := stand.TempDir(t)
	helper := exec.CommandContext(t.Context(), os.Args[0])
	helper.Env = append(os.Environ(), "STAND_TO_BE_KILLED="+dir)
	helper.Stderr = os.Stderr
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready ") {
		t.Fatalf("the stand to be killed said %q: %v", line, err)
	}
	if len(standing(t, dir)) < 4 {
		t.Fatalf("only %q run", standing(t, dir))
	}
	if err := helper.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait()
	deadline := time.Now().Add(20 * time.Second)
	for left := standing(t, dir); len(left) > 0; left = standing(t, dir) {
		if time.Now().After(deadline) {
			t.Fatalf("still running after kill -9 of their owner: %q", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// standing lists the processes that name dir in their command line or work in it.
func standing(t *testing.T, dir string) []string {
	t.Helper()
	processes, err := fs.Glob(os.DirFS("/proc"), "[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, pid := range processes {
		line, _ := os.ReadFile(filepath.Join("/proc", pid, "cmdline")) // it may have ended meanwhile
		work, _ := os.Readlink(filepath.Join("/proc", pid, "cwd"))
		if strings.Contains(string(line), dir) || strings.HasPrefix(work, dir) {
			found = append(found, pid+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
