#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""fake_engine: says what an engine would say on its socket, and moves no data.

Only for testing the flows of causeway-control and causeway without an engine. It keeps the rules of its side
of the contract (dataplane/engine/RPC.md): journals and images are files, a lease is renewed every second, an
opening claims through the controller and asks again on "again". Replicas are always level with their primary:
what a primary "wrote" is a number in a file that both read.

Command line as the real one: fake_engine --config FILE. Environment: FAKE_FAIL_ATTACH=1 refuses new volumes with
"no space"; FAKE_REBOOTED=1 reports another boot id; FAKE_NO_EXPORT=NAME does not export that volume; FAKE_DRAIN=SECONDS
drains so long; FAKE_MUTE=1 tells nothing of when it let go;
a file fake-clients in its directory holds the count of clients of every volume;
while a file fake-hold is there, volume.detach and group.detach are not answered (fake-held: one waits);
a file fake-open in its directory holds openings up: "refuse" refuses them, "wait" lets them gather for ever;
while a file fake-copying is there, all groups are copied to in full;
while a file fake-down is there, an error has stopped all groups;
while a file fake-mute-attach is there, volume.attach is done and not answered (fake-muted: one was);
a file fake-granted has the seconds for which it may have granted something before its start;
a file fake-lane-down has the number of the one of two lanes that is down, on all paths;
FAKE_LOSE_CLAIMS=N does not hear that its first N claims were written, and asks again;
FAKE_LONG=1 has paths that are longer than they may have packets on their way;
FAKE_LARGE=BYTES tells so much more of itself;
FAKE_COUNTERS=1 counts, with names and a version as no engine has them;
FAKE_LATE=FILE attaches no volume before FILE is there, and has then copied them all from where they began.
"""
import json, os, random, re, select, signal, socket, sys, time

def setting(text, key):
    found = re.search(r'^' + key + r':\s*"?([^"\n]+)"?', text, re.M)
    return found.group(1) if found else None

class Refused(Exception):
    def __init__(self, status, words):
        super().__init__(words)
        self.status = status

class Engine:
    def __init__(self, configuration):
        text = open(configuration).read()
        self.site = setting(text, 'site')
        self.directory = setting(text, 'directory')
        self.sites = re.findall(r'\{name: (\w+), id: \d+', text)
        self.boot_id = 'b007b007' + ('1' if os.environ.get('FAKE_REBOOTED') else '0')
        self.process_start = '%016x' % random.getrandbits(64)
        self.held = []
        self.lost_claims = int(os.environ.get('FAKE_LOSE_CLAIMS', 0))
        self.groups, self.cuts, self.buffers, self.next_id = {}, set(), {}, 1
        self.registered, self.pending, self.deadline = None, {}, 0.0
        path = self.directory + '/engine.sock'
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        self.path = path

    # ------------------------------------------------------------ helpers
    def identity(self, group):
        return {'site': self.site, 'boot_id': self.boot_id, 'journal_id': group['journal_id'],
                'process_start': self.process_start}

    def peer_alive(self, site):
        try:
            s = socket.socket(socket.AF_UNIX)
            s.connect(os.path.join(os.path.dirname(self.directory), site, 'engine.sock'))
            s.close()
            return site not in self.cuts and '' not in self.cuts
        except OSError:
            return False

    def peer_identity(self, site, name):
        """The peer leaves it beside its socket: there is no wire here."""
        try:
            return json.load(open(os.path.join(os.path.dirname(self.directory), site, 'fake-%s.json' % name)))
        except (OSError, ValueError):
            return None

    def peer_epoch(self, site, name):
        """The last of its history, as HELLO would tell it."""
        return (self.peer_identity(site, name) or {}).get('epoch', 0) if self.peer_alive(site) else 0

    def tell_peers(self, g):
        with open(self.directory + '/fake-%s.json' % g['name'], 'w') as f:
            json.dump(dict(self.identity(g), epoch=g['epoch']), f)

    def group(self, params):
        if params.get('group') not in self.groups:
            raise Refused('not found', 'no such group')
        return self.groups[params['group']]

    # ------------------------------------------------------------ methods
    def engine_hello(self, _):
        return {'version': 'fake', 'site': self.site, 'pid': os.getpid(), 'boot_id': self.boot_id,
                'process_start': self.process_start}

    def group_attach(self, p):
        if p['group'] in self.groups:
            self.groups[p['group']].update(mode=p['mode'], sites=p['sites'])
            return {'identity': self.identity(self.groups[p['group']])}
        journal = p['journal']
        if os.path.exists(journal['path']) == journal['create']:
            raise Refused('exists' if journal['create'] else 'not found', 'journal ' + journal['path'])
        epoch = 0
        if journal['create']:
            with open(journal['path'], 'w') as f:
                f.write('%016x' % random.getrandbits(64))
        else:  # the last of its history
            epoch = (self.peer_identity(self.site, p['name']) or {}).get('epoch', 0)
        group = {'group': p['group'], 'name': p['name'], 'mode': p['mode'], 'sites': p['sites'], 'role': 'replica',
                 'journal_id': open(journal['path']).read(), 'epoch': epoch, 'reign': '0', 'members': [], 'volumes': {},
                 'refusal': '', 'open': None, 'journal': journal['path'], 'turn': {}}
        self.groups[p['group']] = group
        self.tell_peers(group)
        return {'identity': self.identity(group)}

    def volume_attach(self, p):
        group = self.group(p)
        if os.environ.get('FAKE_FAIL_ATTACH') and p['create']:
            raise Refused('no space', 'no space for ' + p['path'])
        late = os.environ.get('FAKE_LATE')
        if late and not os.path.exists(late):
            raise Refused('io', 'the device is not there yet')
        if p['create'] and os.path.lexists(p['path']):
            raise Refused('exists', p['path'])
        if p['create']:
            with open(p['path'], 'xb') as f:
                f.truncate(p['size'])
        group['volumes'][p['volume']] = dict(volume=p['volume'], name=p['name'], size=p['size'], path=p['path'],
                                             base='0' if late else p['base'], socket=p['socket'], connections=0)
        return {}

    def volume_detach(self, p):
        self.group(p)['volumes'].pop(p['volume'], None)
        return {}

    def is_held(self, s, message):
        """As a disk that hangs would: answered when the file is gone."""
        if message['method'] not in ('volume.detach', 'group.detach') or not os.path.exists(self.directory + '/fake-hold'):
            return False
        self.held.append((s, message))
        open(self.directory + '/fake-held', 'w').close()
        return True

    def group_detach(self, p):
        self.group(p)
        del self.groups[p['group']]
        return {}

    def group_open(self, p):
        group = self.group(p)
        if group['role'] != 'replica':
            raise Refused('refused', 'not a replica')
        if self.told('fake-open') == 'refuse':
            raise Refused('refused', 'the disk says no')
        group.update(role='gathering', refusal='', open=p, next_claim=time.monotonic() + 0.05)
        group['turn']['asked_ns'] = time.monotonic_ns()
        return {}

    def told(self, name):
        try:
            return open(self.directory + '/' + name).read()
        except OSError:
            return ''

    def group_drain(self, p):
        self.group(p)['turn'].update(left_epoch=self.group(p)['epoch'], held_ns=time.monotonic_ns())
        self.group(p).update(role='draining', drained_at=time.monotonic() + float(os.environ.get('FAKE_DRAIN', 0)))
        return {}

    def group_fence(self, p):
        group = self.group(p)
        is_open = group['role'] in ('primary', 'draining', 'drained')
        if is_open and group['epoch'] > p['epoch']:
            return {}
        if is_open and not os.environ.get('FAKE_MUTE'):
            now = time.monotonic_ns()
            group['turn'].update(left_epoch=group['epoch'], left_ns=now)
            group['turn'].setdefault('held_ns', now)
        group.update(role='replica', open=None)
        return {}

    def group_resync(self, p):
        if self.group(p)['role'] != 'primary':
            raise Refused('refused', 'not primary')
        return {'begun': self.peer_alive(p['site'])}

    def lab_cut(self, p):
        if p['receive'] or p['transmit']:
            self.cuts.add(p['remote'])
        else:
            self.cuts.clear()
        return {}

    def engine_stop(self, _):
        raise SystemExit(0)

    def status(self, _):
        long_path = {}
        if os.environ.get('FAKE_LONG'):
            long_path = {'datagram_bytes': 1472,
                         'rate_control': {'rate_limit_bps': 1000000000, 'in_flight_packets_max': 4096, 'rtt_min_us': 2e5}}
        counters, path_counters, more, version = {}, {}, {}, 'fake'
        if os.environ.get('FAKE_COUNTERS'):
            self.turns = getattr(self, 'turns', 0) + 1000
            version = 'a "b\\c\nd é'
            counters = {'store_turns': self.turns, 'store_cycle_ns_max': 1500000, 'payloads_free': 10}
            path_counters = {'bytes_out': self.turns, 'odd_1': 2**63 - 1, 'odd-2': 1, 'odd 3\n': 1, '': 1, 'Odd': 1, 'odd_4': 'x',
                             'odd_5': -1, 'odd_6' + 'x' * 100: 1}
            more = {'lease_remaining_ms': 4000, 'uptime_seconds': 1.0, 'nbd': {'bytes_read': self.turns}}
        if os.environ.get('FAKE_LARGE'):
            more['large'] = 'x' * int(os.environ['FAKE_LARGE'])
        return {**more, 'site': self.site, 'version': version, 'pid': os.getpid(), 'boot_id': self.boot_id,
                'process_start': self.process_start, 'memory_bytes': 1, 'poll': 'adaptive',
                'groups': [self.show(g) for g in self.groups.values()], 'counters': counters,
                'paths': [{**long_path, 'local': self.site, 'remote': s, 'name': 'wan0', 'up': self.peer_alive(s), 'rtt_us': 80.0,
                           'loss': 0.0, 'rate_bps': 0, 'counters': path_counters, **self.lanes()} for s in self.sites if s != self.site]}

    def lanes(self):
        down = self.told('fake-lane-down')
        return {'up': False, 'state': 'probing', 'lanes': [{'up': str(lane) != down} for lane in (0, 1)]} if down else {}

    def show_volume(self, volume, is_primary):
        fails = is_primary and volume['name'] == os.environ.get('FAKE_NO_EXPORT')
        try:
            volume = dict(volume, connections=int(open(self.directory + '/fake-clients').read()))
        except OSError:
            pass
        return dict(volume, open=is_primary and not fails, error='no socket is left' if fails else '')

    def show(self, g):
        is_primary = g['role'] in ('primary', 'draining', 'drained')
        peers = []
        for s in g['sites']:
            if s == self.site:
                continue
            member = s in [m['site'] for m in g['members']]
            alive = self.peer_alive(s)
            peers.append({'site': s, 'state': 'in-sync' if member and alive else 'streaming' if alive else 'disconnected',
                          'reason': '', 'member': member, 'received': 7, 'written': 7, 'durable': 7, 'applied': 7,
                          'lag_bytes': 0, 'lag_seconds': 0.0, 'cursor': 7, 'copy': {'active': False},
                          'identity': self.peer_identity(s, g['name']) or {'site': s}})
        counters = {'writes': self.turns} if os.environ.get('FAKE_COUNTERS') else {}
        is_down = os.path.exists(self.directory + '/fake-down')
        return {'group': g['group'], 'lane': g['group'] % 2, 'name': g['name'], 'mode': g['mode'], 'role': 'down' if is_down else g['role'], 'epoch': g['epoch'], 'counters': counters,
                'reign': g['reign'], 'reason': 'the disk is gone' if is_down else '', 'refusal': g['refusal'],
                'frozen': g['role'] == 'primary' and time.monotonic() > self.deadline, 'head': 7, 'durable': 7,
                'applied': 7, 'identity': self.identity(g), 'image': 'copying' if os.path.exists(self.directory + '/fake-copying') else 'whole', 'journal': {'path': g['journal']},
                'volumes': [self.show_volume(v, is_primary) for v in g['volumes'].values()],
                'members': [m['site'] for m in g['members']], 'peers': peers, 'turn': g['turn'],
                'lease': {'granted_to': '', 'granted_seconds': float(self.told('fake-granted') or 0)}}

    # ------------------------------------------------------------ what it asks
    def ask(self, method, params, answer):
        if not self.registered:
            return
        self.pending[self.next_id] = answer
        self.send(self.registered, {'jsonrpc': '2.0', 'id': self.next_id, 'method': method, 'params': params})
        self.next_id += 1

    def claim(self, g):
        p = g['open']
        members = {self.site: self.identity(g)}
        for s in g['sites']:
            identity = self.peer_identity(s, g['name'])
            if s != self.site and identity and self.peer_alive(s):
                members[s] = identity
        seen = max([(g['epoch'], self.site)] + [(self.peer_epoch(s, g['name']), s) for s in g['sites'] if s != self.site])
        epoch = 1 + max(p['epoch'], seen[0])
        g.update(role='claiming', next_claim=time.monotonic() + 0.1)
        def answer(result, error):
            if g['open'] is not p:
                return
            if error and error.get('data', {}).get('status') == 'again':
                print(f"{g['name']}: epoch {epoch} is put off", flush=True)
                g['role'] = 'gathering'
            elif error:
                g.update(role='replica', open=None, refusal=error['message'])
            elif self.lost_claims > 0:  # as if the answer had not come
                self.lost_claims -= 1
                g['role'] = 'gathering'
            else:
                g.update(role='primary', epoch=epoch, reign=p['reign'], members=list(members.values()), open=None)
                self.tell_peers(g)
                g['turn'] = dict(asked_ns=g['turn'].get('asked_ns', 0), opened_ns=time.monotonic_ns(), opened_epoch=epoch)
                self.renew()
        self.ask('store.claim', {'group': g['group'], 'from_epoch': p['epoch'], 'epoch': epoch, 'reign': p['reign'],
                                 'first_sequence': 8, 'members': list(members.values()),
                                 'own_epoch': g['epoch'], 'highest_seen_epoch': seen[0], 'seen_by': seen[1]}, answer)

    def shrink(self, g):
        """A member that does not answer leaves the set; one that answers comes back."""
        reachable = [s for s in g['sites'] if s == self.site or self.peer_alive(s)]
        if set(reachable) == set(m['site'] for m in g['members']) or g.get('setting'):
            return
        to = [self.identity(g) if s == self.site else self.peer_identity(s, g['name']) for s in reachable]
        g['setting'] = True
        def answer(result, error):
            g['setting'] = False
            if not error:
                g['members'] = to
        self.ask('store.set', {'group': g['group'], 'epoch': g['epoch'], 'from': [m['site'] for m in g['members']],
                               'to': to}, answer)

    def renew(self):
        primaries = [g for g in self.groups.values() if g['role'] in ('primary', 'draining', 'drained')]
        asked = time.monotonic()
        def answer(result, error):
            if error:
                return
            self.deadline = asked + result['lease_ms'] / 1000 * 0.99 - 0.1
            for g in primaries:
                if g['group'] in result['lost'] and g['role'] != 'claiming':
                    g['role'] = 'replica'
        self.ask('lease.renew', {'groups': [{'group': g['group'], 'epoch': g['epoch']} for g in primaries]}, answer)

    def tick(self):
        now = time.monotonic()
        if self.held and not os.path.exists(self.directory + '/fake-hold'):
            held, self.held = self.held, []
            for s, message in held:
                self.serve(s, message)
        if now - getattr(self, 'renewed', 0) > 1.0:
            self.renewed = now
            self.renew()
            for g in self.groups.values():
                if g['role'] == 'primary':
                    self.shrink(g)
        for g in self.groups.values():
            if g['role'] == 'draining' and now >= g['drained_at']:
                g['role'] = 'drained'
            if g['role'] == 'gathering' and now >= g['next_claim'] and self.told('fake-open') != 'wait':
                self.claim(g)

    # ------------------------------------------------------------ the socket
    def send(self, s, message):
        try:
            s.sendall(json.dumps(message).encode() + b'\n')
        except OSError:
            self.close(s)

    def close(self, s):
        self.buffers.pop(s, None)
        if self.registered is s:
            self.registered, self.pending = None, {}
        s.close()

    def serve(self, s, message):
        if 'method' not in message:
            answer = self.pending.pop(message['id'], None)
            if answer:
                answer(message.get('result'), message.get('error'))
            return
        if self.is_held(s, message):
            return
        try:
            if message['method'] == 'control.register':
                self.registered, result = s, {}
            else:
                result = getattr(self, message['method'].replace('.', '_'))(message.get('params', {}))
            if message['method'] == 'volume.attach' and os.path.exists(self.directory + '/fake-mute-attach'):
                open(self.directory + '/fake-muted', 'w').close()
                return
            self.send(s, {'jsonrpc': '2.0', 'id': message['id'], 'result': result})
        except Refused as why:
            self.send(s, {'jsonrpc': '2.0', 'id': message['id'],
                          'error': {'code': -32000, 'message': str(why), 'data': {'status': why.status}}})
        except SystemExit:
            self.send(s, {'jsonrpc': '2.0', 'id': message['id'], 'result': {}})
            os.unlink(self.path)
            raise

    def read(self, s):
        try:
            got = s.recv(65536)
        except OSError:
            got = b''
        if not got:
            return self.close(s)
        self.buffers[s] += got
        while s in self.buffers and b'\n' in self.buffers[s]:
            line, self.buffers[s] = self.buffers[s].split(b'\n', 1)
            self.serve(s, json.loads(line))

    def run(self):
        while True:
            ready, _, _ = select.select([self.listener] + list(self.buffers), [], [], 0.02)
            for s in ready:
                if s is self.listener:
                    self.buffers[s.accept()[0]] = b''
                elif s in self.buffers:
                    self.read(s)
            self.tick()

if __name__ == '__main__':
    if '--config' not in sys.argv:
        sys.exit('usage: fake_engine.py --config FILE')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Engine(sys.argv[sys.argv.index('--config') + 1]).run()
