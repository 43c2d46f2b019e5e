package config

// Example is a configuration file that says what there is to say and changes nothing: all of it is
// commented out. Uncommented it parses, which a test proves.
const Example = `# moodle-exporter: an ordinary host needs nothing of this. What is left out is found on the host.
# Check with: moodle-exporter config check

#sites:
#  - name: lms                       # label, backup directory; default: base name of dir
#    dir: /var/www/moodle
#    user: www-data                  # whom the site's PHP runs as; never root
#    php: /usr/bin/php
#    primary: true                   # say it where several web nodes share one dataroot
#    database:
#      monitor: {user: moodle-exporter, password_file: /etc/moodle-exporter/monitor.password}
#      admin: {user: root, socket: /run/mysqld/mysqld.sock}
#services: [nginx.service, php8.2-fpm.service, mariadb.service, redis-server.service, cron.service]
#redis:
#  - {address: "127.0.0.1:6379", password_file: /etc/moodle-exporter/redis.password}   # user: of an ACL
#phpfpm:                             # where pools tell their status; default: what their files say
#  - {listen: "127.0.0.1:9001", path: /status}
#nginx: ["http://127.0.0.1:8089/nginx_status"]   # stub_status
#certificates:
#  endpoints: ["lms.example.org:443"]
#  files: [/etc/letsencrypt/live/*/fullchain.pem]
#backup:
#  dir: /backup/maintenance
#  max_age: 8d                       # or one for each component: {all: 8d, database: 26h}
#  keep: {within: 90d, last: 3}
#  nice: 10                          # makes way for the site, as nice(1) and ionice(1); 0 and none change nothing
#  ionice: best-effort               # or idle: only while nobody else wants the disk
#  zstd: {level: 3, threads: 0}      # level 1 to 19; threads 0: as many as there are processors, up to 4
#  # encrypt_to: ["age1..."]       # off-site copies only; your own public key, from age-keygen. Keep the private one elsewhere.
#  offsite:                          # S3-compatible storage; its key needs no right to delete
#    endpoint: https://s3.example.org
#    bucket: moodle-backups
#    access_key_file: /etc/moodle-exporter/offsite.access-key
#    secret_key_file: /etc/moodle-exporter/offsite.secret-key
#    bandwidth: 20MB/s               # for all streams together
#update:
#  source: git                       # or archive, or none: only the database is brought to the code that is there
#  branch: MOODLE_405_STABLE         # of the remote; default: the one that is checked out
#  remote: https://github.com/moodle/moodle.git   # default: that of the checkout
#  # archive: /srv/moodle-latest-405.tgz          # with its SHA-256 in a file of that name and .sha256, or under sha256:
#  max_rollback: 30m                 # an update whose way back would take longer wants --yes
#maintenance:                        # of the tasks, only those of daily are there without being named
#  window: "02:00-05:00"             # package-upgrades, service-restarts and moodle-update wait for it
#  daily: {at: "0 2 * * *", tasks: [tmp, logs, package-lists]}
#  weekly: {at: "0 3 * * 0", tasks: [backup, package-upgrades, service-restarts]}
#  monthly: {at: "0 4 1 * *", tasks: [prune, certbot-renew]}
#  tmp: {roots: [/tmp, /var/tmp], age: 7d, exclude: [/var/tmp/keep]}
#  logs: {roots: [/var/log], age: 30d}
#  packages: {security_only: true, wait: 10m}
#  restart: [mariadb.service, redis-server.service, php8.2-fpm.service, nginx.service]
#thresholds:
#  cpu_busy_ratio: 0.9
#  disk_free_ratio_warning: 0.15
#  cert_warning_days: 30
`
