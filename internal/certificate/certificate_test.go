package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func certificateBlock(t *testing.T, name string, serial int64) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(1000, 0), NotAfter: time.Unix(2000, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	leaf, ca := certificateBlock(t, "lms.example.org", 0xABC), certificateBlock(t, "CA", 1)
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")})
	text := []byte("Certificate:\n  Data: as openssl x509 -text puts before it\n")
	for name, test := range map[string]struct {
		content []byte
		want    string // subject, or a part of the error after !
	}{
		"chain":           {append(append([]byte{}, leaf...), ca...), "CN=lms.example.org"},
		"key first":       {append(append([]byte{}, key...), leaf...), "CN=lms.example.org"},
		"text before":     {append(append([]byte{}, text...), leaf...), "CN=lms.example.org"},
		"only a key":      {key, "!there is none in it"},
		"empty":           {nil, "!there is none in it"},
		"broken":          {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("rubbish")}), "!read certificate " + dir},
		"much too large":  {make([]byte, maxSize+1), "!at most"},
		"not PEM but DER": {[]byte{0x30, 0x82, 1, 2}, "!there is none in it"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := ReadFile(path)
			if part, fails := strings.CutPrefix(test.want, "!"); fails {
				if err == nil || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "secret") {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil || file.Subject != test.want || file.Issuer != test.want || file.Serial != "abc" || file.Path != path ||
				file.NotBefore.Unix() != 1000 || file.NotAfter.Unix() != 2000 {
				t.Errorf("%+v, %v", file, err)
			}
		})
	}
}

func TestReadFileDoesNotBlock(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, t.TempDir(), filepath.Join(t.TempDir(), "none"), "/dev/zero"} {
		if _, err := ReadFile(path); err == nil {
			t.Errorf("%s was read", path)
		}
	}
}

func TestFileAsJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(path, certificateBlock(t, "x", 10), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"path":"` + path + `","not_before":"1970-01-01T00:16:40Z","not_after":"1970-01-01T00:33:20Z","subject":"CN=x","issuer":"CN=x","serial":"a"}`
	var back File
	if err := json.Unmarshal(text, &back); err != nil || back != file || string(text) != want {
		t.Errorf("%s, want %s (%v)", text, want, err)
	}
}
