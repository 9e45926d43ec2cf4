#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Record real servers and clients into recorded/*.pcapng: HTTP, TLS, DNS, SSH on a loopback interface, transfers over a
# bad line, equal addresses in two VLANs and in two VXLAN networks, and nginx, openssl s_server and unbound together with
# their logs, which say what the messages were. Everything runs in network namespaces of its own
# and listens nowhere else.
#
#   sudo pcaps/record.sh [NAME...]      all without a name; names are at the end of this file
#
# Needs: Linux with network namespaces and veth, iproute2, dumpcap, tshark, Python 3.9, openssl and, for ssh, OpenSSH's
# client and server, for nginx and unbound these (apt install nginx unbound; or, unpacked anywhere, in the PATH). VLAN
# tags, loss, duplication and reordering come from wire.py, so the kernel needs neither 8021q nor netem; it needs vxlan
# for two of the recordings, and bridge for one. What cannot be recorded here is skipped, and said so.
# The manifest of the recordings is made by describe.py afterwards.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$here/recorded
work=$(mktemp -d)
tag=fs$$
started=()
namespaces=()
dumpcaps=()

[ "$(id -u)" = 0 ] || { echo "record.sh: needs root for network namespaces" >&2; exit 1; }

stop_started() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    started=()
}

clear_namespaces() {
    local name
    stop_started
    for name in "${namespaces[@]}"; do ip netns del "$name" 2>/dev/null || true; done
    namespaces=()
}

trap 'clear_namespaces; rm -rf "$work"' EXIT

# namespace NAME: with loopback only
namespace() {
    ip netns add "$tag-$1"
    namespaces+=("$tag-$1")
    inside "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    inside "$1" ip link set lo up
}

inside() { local name=$1; shift; ip netns exec "$tag-$name" "$@"; }

# run NAMESPACE COMMAND...: in the background, until the end of the recording
run() {
    local name=$1
    shift
    ip netns exec "$tag-$name" "$@" >>"$work/log" 2>&1 &
    started+=($!)
}

# cable NS1 IF1 NS2 IF2: a veth pair without offloads
cable() {
    ip link add "$tag-x" netns "$tag-$1" type veth peer name "$tag-y" netns "$tag-$3"
    inside "$1" ip link set "$tag-x" name "$2" up
    inside "$3" ip link set "$tag-y" name "$4" up
    inside "$1" "$here/wire.py" plain "$2"
    inside "$3" "$here/wire.py" plain "$4"
}

# host NS IF ADDRESS MAC PEER_ADDRESS PEER_MAC: without ARP
host() {
    inside "$1" ip link set "$2" address "$4"
    inside "$1" ip address add "$3/24" dev "$2"
    inside "$1" ip neigh add "$5" lladdr "$6" dev "$2" nud permanent
}

# capture NS IF NAME: start; finish NAME: stop
capture() {
    : >"$work/dumpcap"
    # Segments of loopback may have 64 KiB: the buffer of 2 MiB would lose some.
    ip netns exec "$tag-$1" dumpcap -q -B 32 -i "$2" -w "$work/$3.pcapng" >"$work/dumpcap" 2>&1 &
    dumpcaps+=($!)
    local tries=0
    until grep -q '^File:' "$work/dumpcap"; do
        sleep 0.1
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { cat "$work/dumpcap" >&2; exit 1; }
    done
    sleep 0.3
}

stop_dumpcaps() {
    local pid
    sleep 1
    for pid in "${dumpcaps[@]}"; do
        kill -TERM "$pid"
        wait "$pid" || true
    done
    dumpcaps=()
}

finish() {
    stop_dumpcaps
    # Without the name of the machine, its kernel and its interfaces' hardware, which are nobody's business.
    editcap --discard-capture-comment -F pcap "$work/$1.pcapng" "$work/$1.pcap"
    editcap -F pcapng "$work/$1.pcap" "$out/$1.pcapng"
    clear_namespaces
    echo "recorded $1"
}

listening() {
    local tries=0
    until inside "$1" ss -Htln "sport = :$2" 2>/dev/null | grep -q .; do
        sleep 0.1
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { echo "record.sh: nothing listens on port $2" >&2; cat "$work/log" >&2; exit 1; }
    done
}

peers() { local name=$1; shift; inside "$name" "$here/peers.py" "$@"; }

# fetch_together NAMESPACE...: the same requests from the same port in each, at the same time
fetch_together() {
    local name pids=()
    for name in "$@"; do
        peers "$name" http-get 10.0.0.2 8080 --source 40001 /file/5000 /file/5000 &
        pids+=($!)
    done
    wait "${pids[@]}"
}

record_http() {
    namespace a
    run a "$here/peers.py" http-server 127.0.0.1 8080
    listening a 8080
    capture a lo http
    peers a http-get 127.0.0.1 8080 --source 40001 /file/1000 /file/20000 /missing
    peers a http-get 127.0.0.1 8080 --source 40002 --close server /file/100
    peers a http-get 127.0.0.1 8080 --source 40003 --close abort /file/50000
    peers a http-get 127.0.0.1 8081 --source 40004 /file/1
    finish http
}

record_tls() {
    namespace a
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=server.example -days 3650 -keyout "$work/key" \
        -out "$work/certificate" 2>/dev/null
    run a openssl s_server -accept 127.0.0.1:8443 -www -key "$work/key" -cert "$work/certificate"
    listening a 8443
    capture a lo tls
    local version
    for version in tls1_2 tls1_3; do
        printf 'GET / HTTP/1.0\r\n\r\n' | inside a openssl s_client -connect 127.0.0.1:8443 -servername server.example \
            "-$version" -quiet -no_ign_eof >>"$work/log" 2>&1 || true
        sleep 0.3
    done
    finish tls
}

record_dns() {
    namespace a
    run a "$here/peers.py" dns-server 127.0.0.1 53
    listening a 53
    capture a lo dns
    peers a dns-query 127.0.0.1 53 www.example www.example/28 text.example/16 missing.invalid
    peers a dns-query 127.0.0.1 53 --tcp www.example www.example/28
    peers a dns-query 127.0.0.1 54 closed.example
    finish dns
}

record_ssh() {
    if ! [ -x /usr/sbin/sshd ]; then
        echo "skipped ssh: no OpenSSH server"
        return
    fi
    namespace a
    ssh-keygen -q -t ed25519 -N '' -f "$work/host"
    ssh-keygen -q -t ed25519 -N '' -C recording -f "$work/user"
    mkdir -p /run/sshd
    chmod 755 "$work"
    run a /usr/sbin/sshd -D -e -f /dev/null -h "$work/host" -o ListenAddress=127.0.0.1:2222 -o UsePAM=no \
        -o StrictModes=no -o PidFile=none -o "AuthorizedKeysFile=$work/user.pub" -o PrintMotd=no
    listening a 2222
    capture a lo ssh
    inside a ssh -F /dev/null -p 2222 -i "$work/user" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o LogLevel=ERROR root@127.0.0.1 'echo hello' </dev/null
    finish ssh
}

# line NAME FAULT...: 150,000 bytes over a wire with this fault, captured at the client
line() {
    local name=$1
    shift
    namespace a
    namespace w
    namespace b
    cable a eth0 w left
    cable w right b eth0
    host a eth0 10.0.0.1 02:00:00:00:00:01 10.0.0.2 02:00:00:00:00:02
    host b eth0 10.0.0.2 02:00:00:00:00:02 10.0.0.1 02:00:00:00:00:01
    run w "$here/wire.py" run left right --delay 5 "$@"
    run b "$here/peers.py" http-server 10.0.0.2 8080
    listening b 8080
    capture a eth0 "$name"
    peers a http-get 10.0.0.2 8080 --source 40001 /file/150000
    finish "$name"
}

record_loss() { line loss --drop 0.05 --seed 3; }
record_duplicates() { line duplicates --duplicate 0.1 --seed 4; }
record_reordering() { line reordering --reorder 0.1 --seed 5; }

record_vlan() {
    local id
    namespace w
    ip link add "$tag-x" netns "$tag-w" type veth peer name "$tag-y" netns "$tag-w"
    inside w ip link set "$tag-x" name trunk0 up
    inside w ip link set "$tag-y" name trunk1 up
    for id in 10 20; do
        namespace "a$id"
        namespace "b$id"
        cable "a$id" eth0 w "left$id"
        cable w "right$id" "b$id" eth0
        host "a$id" eth0 10.0.0.1 02:00:00:00:00:01 10.0.0.2 02:00:00:00:00:02
        host "b$id" eth0 10.0.0.2 02:00:00:00:00:02 10.0.0.1 02:00:00:00:00:01
        run w "$here/wire.py" run "left$id" trunk0 --vlan "$id"
        run w "$here/wire.py" run "right$id" trunk1 --vlan "$id"
        run "b$id" "$here/peers.py" http-server 10.0.0.2 8080
        listening "b$id" 8080
    done
    capture w trunk0 vlan
    fetch_together a10 a20
    finish vlan
}

record_vxlan() {
    local side id
    namespace a
    namespace b
    if ! inside a ip link add probe type vxlan id 1 dstport 4789 remote 192.0.2.9 2>/dev/null; then
        echo "skipped vxlan: this kernel has no VXLAN devices"
        clear_namespaces
        return
    fi
    inside a ip link del probe
    cable a eth0 b eth0
    host a eth0 192.0.2.1 02:00:00:00:01:01 192.0.2.2 02:00:00:00:01:02
    host b eth0 192.0.2.2 02:00:00:00:01:02 192.0.2.1 02:00:00:00:01:01
    # An end of each network in a namespace of its own, so that both can have the same addresses.
    for id in 100 200; do
        for side in a b; do
            namespace "$side$id"
            local other=192.0.2.2
            [ $side = a ] || other=192.0.2.1
            inside $side ip link add "vx$id" type vxlan id "$id" dstport 4789 remote "$other"
            inside $side ip link set "vx$id" netns "$tag-$side$id"
            inside "$side$id" ip link set "vx$id" mtu 1450 up
        done
        host "a$id" "vx$id" 10.0.0.1 02:00:00:00:00:01 10.0.0.2 02:00:00:00:00:02
        host "b$id" "vx$id" 10.0.0.2 02:00:00:00:00:02 10.0.0.1 02:00:00:00:00:01
        run "b$id" "$here/peers.py" http-server 10.0.0.2 8080
        listening "b$id" 8080
    done
    capture a eth0 vxlan
    fetch_together a100 a200
    finish vxlan
}

# mirrored NAME CLIENT ADDRESS SERVER: the same traffic in each of the mirrored recordings, seen by tap0 and tap1
mirrored() {
    local name=$1 client=$2 address=$3 server=$4
    run "$server" "$here/peers.py" http-server "$address" 8080
    run "$server" "$here/peers.py" dns-server "$address" 53
    listening "$server" 8080
    listening "$server" 53
    peers "$client" ping "$address" --count 8 --pause 0.02
    peers "$client" dns-query "$address" 53 www.example www.example/28 text.example/16 missing.invalid
    peers "$client" http-get "$address" 8080 --source 40001 /file/60000 &
    local download=$!
    peers "$client" http-put "$address" 8080 --source 40002 /file/60000
    wait "$download"
    stop_dumpcaps
    "$here/mirror.py" join "$out/$name.pcapng" "$work/tap0.pcapng" "$work/tap1.pcapng"
    clear_namespaces
    echo "recorded $name"
}

# Both ports of a bridge.
record_mirror_two_interfaces() {
    namespace a
    namespace w
    namespace b
    cable a eth0 w left
    cable w right b eth0
    inside w ip link add br0 type bridge forward_delay 0 mcast_snooping 0
    inside w ip link set left master br0
    inside w ip link set right master br0
    inside w ip link set br0 up
    host a eth0 10.0.0.1 02:00:00:00:00:01 10.0.0.2 02:00:00:00:00:02
    host b eth0 10.0.0.2 02:00:00:00:00:02 10.0.0.1 02:00:00:00:00:01
    capture w left tap0
    capture w right tap1
    mirrored mirror-two-interfaces a 10.0.0.2 b
}

# Both sides of a router.
record_mirror_routed() {
    namespace a
    namespace w
    namespace b
    cable a eth0 w left
    cable w right b eth0
    host a eth0 10.0.1.1 02:00:00:00:00:01 10.0.1.254 02:00:00:00:01:fe
    host w left 10.0.1.254 02:00:00:00:01:fe 10.0.1.1 02:00:00:00:00:01
    host w right 10.0.2.254 02:00:00:00:02:fe 10.0.2.1 02:00:00:00:00:02
    host b eth0 10.0.2.1 02:00:00:00:00:02 10.0.2.254 02:00:00:00:02:fe
    inside a ip route add 10.0.2.0/24 via 10.0.1.254
    inside b ip route add 10.0.1.0/24 via 10.0.2.254
    inside w sysctl -qw net.ipv4.ip_forward=1
    sleep 1
    capture w left tap0
    capture w right tap1
    mirrored mirror-routed a 10.0.2.1 b
}

# An access port and a trunk.
record_mirror_vlan() {
    namespace a
    namespace w
    namespace b
    cable a eth0 w left
    cable w right b eth0
    ip link add "$tag-x" netns "$tag-w" type veth peer name "$tag-y" netns "$tag-w"
    inside w ip link set "$tag-x" name trunk0 up
    inside w ip link set "$tag-y" name trunk1 up
    host a eth0 10.0.0.1 02:00:00:00:00:01 10.0.0.2 02:00:00:00:00:02
    host b eth0 10.0.0.2 02:00:00:00:00:02 10.0.0.1 02:00:00:00:00:01
    run w "$here/wire.py" run left trunk0 --vlan 10
    run w "$here/wire.py" run right trunk1 --vlan 10
    capture w left tap0
    capture w trunk0 tap1
    mirrored mirror-vlan a 10.0.0.2 b
}

# Inside a VXLAN endpoint and outside.
record_mirror_vxlan() {
    local side other
    namespace a
    namespace b
    cable a eth0 b eth0
    host a eth0 192.0.2.1 02:00:00:00:01:01 192.0.2.2 02:00:00:00:01:02
    host b eth0 192.0.2.2 02:00:00:00:01:02 192.0.2.1 02:00:00:00:01:01
    for side in a b; do
        namespace "${side}in"
        other=192.0.2.2
        [ $side = a ] || other=192.0.2.1
        if ! inside $side ip link add vx type vxlan id 100 dstport 4789 remote "$other" 2>/dev/null; then
            echo "skipped mirror-vxlan: this kernel has no VXLAN devices"
            clear_namespaces
            return
        fi
        inside $side ip link set vx netns "$tag-${side}in"
        inside "${side}in" ip link set vx mtu 1450 up
        inside "${side}in" "$here/wire.py" plain vx
    done
    host ain vx 10.0.0.1 02:00:00:00:00:01 10.0.0.2 02:00:00:00:00:02
    host bin vx 10.0.0.2 02:00:00:00:00:02 10.0.0.1 02:00:00:00:00:01
    capture ain vx tap0
    capture a eth0 tap1
    mirrored mirror-vxlan ain 10.0.0.2 bin
}

record_mirrors() {
    record_mirror_two_interfaces
    record_mirror_routed
    record_mirror_vlan
    record_mirror_vxlan
}

# One tap, and senders that repeat themselves: nothing here was captured twice. Round trips take microseconds, and loss
# is made by filters of the receiving sockets.
record_not_duplicates() {
    local name address options
    namespace a
    namespace b
    cable a eth0 b eth0
    host a eth0 10.0.0.1 02:00:00:00:00:01 10.0.0.2 02:00:00:00:00:02
    host b eth0 10.0.0.2 02:00:00:00:00:02 10.0.0.1 02:00:00:00:00:01
    for name in a b; do
        inside $name sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0
        inside $name sysctl -qw net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.eth0.router_solicitations=0
    done
    inside a ip -6 address add fd00::1/64 dev eth0 nodad
    inside b ip -6 address add fd00::2/64 dev eth0 nodad
    inside a ip -6 neigh add fd00::2 lladdr 02:00:00:00:00:02 dev eth0 nud permanent
    inside b ip -6 neigh add fd00::1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent
    inside a ip route add 224.0.0.0/4 dev eth0
    run b "$here/peers.py" http-server 10.0.0.2 8080 --lossy
    run b "$here/peers.py" http-server fd00::2 8080 --lossy
    listening b 8080
    sleep 1
    capture a eth0 not-duplicates
    # With timestamps and selective acknowledgements, without either, and without both.
    for options in "1 1" "1 0" "0 1" "0 0"; do
        for name in a b; do
            inside $name sysctl -qw "net.ipv4.tcp_timestamps=${options% *}" "net.ipv4.tcp_sack=${options#* }"
        done
        for address in 10.0.0.2 fd00::2; do
            peers a http-get "$address" 8080 --lossy /file/15000
            peers a http-put "$address" 8080 /file/15000
        done
    done
    peers a idle 10.0.0.2 8080
    for address in 10.0.0.2 fd00::2; do
        peers a ping "$address" --count 40
        peers a ping "$address" --count 20 --same
        peers a repeat "$address" 5300 www.example
        peers a repeat "$address" 5300 www.example --connect
    done
    peers a repeat 239.255.255.250 1900 ssdp.example
    peers a repeat 224.0.0.251 5353 mdns.local --hops 255
    peers a repeat ff02::fb%eth0 5353 mdns.local
    peers a syns 10.0.0.1 10.0.0.2
    finish not-duplicates
}

has() {
    command -v "$2" >/dev/null && return
    echo "skipped $1: no $2"
    return 1
}

# web NAME: nginx over files of known sizes; then the capture begins
web() {
    local size
    namespace a
    rm -rf "$work/web"
    mkdir -p "$work/web/logs" "$work/web/files/plain" "$work/web/files/chunked"
    for size in 0 100 5000 1000000; do
        head -c "$size" /dev/zero | tr '\0' x >"$work/web/files/plain/$size.txt"
        cp "$work/web/files/plain/$size.txt" "$work/web/files/chunked/"
    done
    touch -d 2020-01-01T00:00:00Z "$work"/web/files/plain/*
    chmod 755 "$work"
    run a nginx -p "$work/web" -c "$here/servers/nginx.conf"
    listening a 8080
    capture a lo "$1"
}

send() { peers a http-send 127.0.0.1 8080 "$@"; }

record_nginx() {
    has nginx nginx || return 0
    web nginx
    local host='Host: www.example\r\n' get='HTTP/1.1\r\nHost: www.example\r\n'
    # One connection: keep-alive, HEAD, not modified, missing, a range, a redirect, nothing.
    send --source 40001 "GET /plain/100.txt $get\r\n" "HEAD /plain/5000.txt $get\r\n" \
        "GET /plain/100.txt ${get}If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT\r\n\r\n" \
        "GET /missing?a=1&b=%20 $get\r\n" "GET /plain/5000.txt ${get}Range: bytes=1000-1099\r\n\r\n" \
        "GET /moved $get\r\n" "GET /empty $get\r\n" "GET /plain/0.txt ${get}Connection: close\r\n\r\n"
    # Pipelined: a head without a body in the midst.
    send --source 40002 "GET /plain/100.txt $get\r\nHEAD /chunked/5000.txt $get\r\nGET /chunked/5000.txt $get\r\n\
GET /nothing $get\r\nGET /plain/5000.txt $get\r\n"
    send --source 40003 "GET /chunked/100.txt $get\r\n" "GET /chunked/5000.txt $get\r\n"
    # To the second server by way of the first: a body that waits for 100, and one in chunks.
    send --source 40004 "POST /upload/1 ${get}Content-Length: 20\r\nExpect: 100-continue\r\n\r\n" "01234567890123456789" \
        "PUT /upload/2 ${get}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" "7\r\n, world\r\n0\r\n\r\n"
    send --source 40005 "GET /plain/100.txt HTTP/1.0\r\n\r\n"
    send --source 40006 "GET /plain/100.txt HTTP/1.1\r\n\r\n"
    # In pieces, one of which ends in the midst of the start line.
    send --source 40007 "GET /plain" "/100.txt HTTP/1.1\r" "\n${host}X: y" "\r\n\r\n"
    send --source 40008 "GET /plain/100.txt\r\n"
    finish nginx
    cp "$work/web/logs/messages.log" "$out/nginx.log"
}

record_nginx_large() {
    has nginx-large nginx || return 0
    web nginx-large
    send --source 40001 "GET /plain/1000000.txt HTTP/1.1\r\nHost: www.example\r\n\r\n" \
        "GET /chunked/1000000.txt HTTP/1.1\r\nHost: www.example\r\n\r\n"
    finish nginx-large
    gzip -9nf "$out/nginx-large.pcapng"
    cp "$work/web/logs/messages.log" "$out/nginx-large.log"
}

# What the client says to openssl s_server; it stays for a moment.
client() {
    { sleep 0.5; echo Q; } | inside a timeout 5 openssl s_client -connect 127.0.0.1:8443 "$@" >>"$work/log" 2>&1 || true
    sleep 0.3
}

record_openssl() {
    namespace a
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=server.example -days 3650 -keyout "$work/key" \
        -out "$work/certificate" 2>/dev/null
    # It stops when its standard input ends. It selects no protocol for its second name, and warns of any third.
    mkfifo "$work/input"
    sleep 60 >"$work/input" &
    started+=($!)
    ip netns exec "$tag-a" stdbuf -oL openssl s_server -accept 127.0.0.1:8443 -trace -groups P-256 -alpn h2,http/1.1 \
        -servername second.example -key "$work/key" -cert "$work/certificate" -key2 "$work/key" \
        -cert2 "$work/certificate" <"$work/input" >"$work/openssl" 2>&1 &
    started+=($!)
    listening a 8443
    capture a lo openssl
    client -tls1_2 -servername server.example -alpn h2,http/1.1 -sess_out "$work/session2"
    client -tls1_2 -servername server.example -alpn http/1.1 -sess_in "$work/session2"
    client -tls1_2 -servername second.example -alpn h2
    client -tls1_2 -noservername -alpn http/1.1 -cipher ECDHE-RSA-CHACHA20-POLY1305
    client -tls1_3 -servername server.example -alpn http/1.1 -groups P-256 -sess_out "$work/session3"
    client -tls1_3 -servername server.example -groups P-256 -sess_in "$work/session3"
    # A key share that the server does not want: HelloRetryRequest.
    client -tls1_3 -servername retry.server.example -alpn h2 -groups X25519:P-256 -ciphersuites TLS_AES_128_GCM_SHA256
    client -servername both.server.example -groups X448:P-256
    # Refused: no protocol, no version, no cipher in common.
    client -tls1_2 -servername server.example -alpn spdy/1
    client -tls1_2 -servername server.example -cipher PSK-AES128-GCM-SHA256 -psk 00
    client -tls1_3 -servername server.example -groups X448
    finish openssl
    # Without the certificate and the sessions.
    sed '/^-----BEGIN/,/^-----END/d' "$work/openssl" >"$out/openssl.log"
}

record_unbound() {
    has unbound unbound || return 0
    namespace a
    cp "$here"/servers/unbound.conf "$here"/servers/example.zone "$work"
    run a env -C "$work" unbound -d -c unbound.conf
    listening a 53
    capture a lo unbound
    local query=(peers a dns-query 127.0.0.1 53)
    "${query[@]}" www.example www.example/28 WWW.Example/15 example/15 example/6 example/2 text.example/16 safe.example/257 \
        alt.example/65 _sip._tcp.example/33
    "${query[@]}" one.example nothing.example one.example/28 www.refused.test
    "${query[@]}" big.example/16
    "${query[@]}" --tcp www.example big.example/16 nothing.example one.example
    "${query[@]}" --timeout 0.3 --tries 2 www.silent.test/28
    finish unbound
    grep -F ' info: ' "$work/log" >"$out/unbound.log"
}

mkdir -p "$out"
if [ $# = 0 ]; then
    set -- http tls dns ssh loss duplicates reordering vlan vxlan nginx nginx-large openssl unbound mirrors not-duplicates
fi
for name in "$@"; do
    declare -F "record_${name//-/_}" >/dev/null || { echo "record.sh: no recording is called $name" >&2; exit 1; }
    "record_${name//-/_}"
done
