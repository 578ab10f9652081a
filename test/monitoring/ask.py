"""Run the exporter and Prometheus against the cluster that the environment names, as
test/monitoring/run has it do, and compare what they say with what the database says.
Prints a line for each test, as test/common.sh counts them."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse
import urllib.request

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(HERE, '..', '..', 'examples', 'monitoring')
PLACE = tempfile.mkdtemp()
processes = []
counted = {'ok': 0, 'FAILED': 0}


def text_of(name):
    with open(os.path.join(EXAMPLE, name), encoding='utf-8') as file:
        return file.read()


def write(name, text):
    path = os.path.join(PLACE, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


def test(name):
    """Run the function at once, as a test of this name."""
    def run(function):
        try:
            function()
            word, why = 'ok', ''
        except Exception:  # pylint: disable=broad-except
            word, why = 'FAILED', re.sub('^', '    ', traceback.format_exc().rstrip(), flags=re.M)
        counted[word] += 1
        print(f'{word:8}{name}', flush=True)
        if why:
            print(why, flush=True)
    return run


def same(found, wanted):
    if found != wanted:
        raise AssertionError('\n'.join(
            [f'missing: {w}' for w in wanted if w not in found] +
            [f'not expected: {f}' for f in found if f not in wanted]))


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def start(*command, **environment):
    log = open(os.path.join(PLACE, os.path.basename(command[0]) + '.log'), 'w', encoding='utf-8')
    process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
    processes.append(process)
    return process


def eventually(what, seconds=60):
    """Call "what" until it returns something, and return that."""
    end = time.monotonic() + seconds
    while True:
        try:
            answer = what()
        except OSError:
            answer = None
        if answer or time.monotonic() > end:
            if not answer:
                raise AssertionError(f'not within {seconds} seconds')
            return answer
        time.sleep(0.1)


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def psql(*arguments, user='postgres'):
    return subprocess.run(['psql', '-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', *arguments], check=True, text=True,
                          stdout=subprocess.PIPE, env={**os.environ, 'PGUSER': user, 'PGOPTIONS': '-c client_min_messages=warning'}).stdout


# ---- The platform, the role and the exporter ----

psql('-f', f'{HERE}/../fleet.sql', '-f', f'{HERE}/state.sql')
psql('-f', os.path.join(EXAMPLE, 'role.sql'))
configuration = yaml.safe_load(text_of('sql-exporter.yml'))
queries = [query for job in configuration['jobs'] for query in job['queries']]
METRICS = {'sql_' + query['name'] for query in queries}

# The test shortens the intervals of minutes.
exporter_port, prometheus_port = free_port(), free_port()
exporter = start('prometheus-sql-exporter', '-web.listen-address', f'127.0.0.1:{exporter_port}', '-config.file',
                 write('sql-exporter.yml', re.sub(r'interval: \w+', 'interval: 1s', text_of('sql-exporter.yml'))),
                 UPDATE_TIER_URL=f"postgres://monitor@/postgres?host={os.environ['PGHOST']}&port={os.environ['PGPORT']}&sslmode=disable")


def served():
    """{metric: {labels: value}}, without what the exporter adds to the labels."""
    metrics = {}
    for name, labels, value in re.findall(r'^(sql_\w+)\{(.*)\} (\S+)$', get(f'http://127.0.0.1:{exporter_port}/metrics'), re.M):
        labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))
        for added in ('driver', 'host', 'database', 'user', 'sql_job', 'col'):
            labels.pop(added, None)
        metrics.setdefault(name, {})[tuple(sorted(labels.items()))] = float(value)
    return metrics


def said(query):
    """The same, of one query, from psql."""
    answer = json.loads(psql('-c', f"SELECT COALESCE(json_agg(q), '[]') FROM ({query['query']}) AS q", user='monitor'))
    value, = query['values']
    return {tuple(sorted((label, row[label]) for label in query.get('labels', []))): float(row[value]) for row in answer}


@test('the exporter serves what its queries say')
def _():
    metrics = eventually(lambda: (lambda m: m if METRICS <= m.keys() else None)(served()))
    same({name for name in metrics if name.startswith('sql_update_tier_')}, METRICS)
    for query in queries:
        found, wanted = metrics['sql_' + query['name']], said(query)
        assert wanted, query['name'] + ' says nothing'
        if query['values'] == ['seconds']:
            # Time goes on between the two.
            same(found.keys(), wanted.keys())
            assert all(abs(found[labels] - wanted[labels]) < 60 for labels in wanted), (found, wanted)
        else:
            same(sorted(found.items()), sorted(wanted.items()))


@test('no query has failed')
def _():
    failed = served()['sql_exporter_last_scrape_failed']
    same({dict(labels)['query'] for labels in failed}, {query['name'] for query in queries})
    same([labels for labels, value in failed.items() if value != 0], [])


# ---- Prometheus, the alerts and the dashboard ----

write('alerts.yml', text_of('alerts.yml'))
quick = text_of('prometheus.yml').replace('localhost:9237', f'127.0.0.1:{exporter_port}').replace('scrape_interval: 30s', 'scrape_interval: 1s')
prometheus = start('prometheus', '--config.file=' + write('prometheus.yml', quick + '\nglobal: {evaluation_interval: 1s}\n'),
                   f'--web.listen-address=127.0.0.1:{prometheus_port}', f'--storage.tsdb.path={PLACE}/data')


def ask(path, **arguments):
    return json.loads(get(f'http://127.0.0.1:{prometheus_port}/api/v1/{path}?' + urllib.parse.urlencode(arguments)))['data']


def value_of(expression):
    return ask('query', query=expression)['result']


def states():
    """{alert: its state}, as soon as all were evaluated."""
    rules = [rule for group in ask('rules')['groups'] for rule in group['rules']]
    if any(rule['health'] == 'unknown' for rule in rules):
        return None
    same([rule for rule in rules if rule['health'] != 'ok'], [])
    return {rule['name']: rule['state'] for rule in rules if rule['state'] != 'inactive'}


@test('Prometheus has scraped every metric')
def _():
    eventually(lambda: METRICS <= {row['metric']['__name__'] for row in value_of('{job="update_tier"}')})


@test('the alerts say what is wrong with this platform')
def _():
    wanted = {'UpdateTierHalted': 'firing', 'UpdateTierWaitsForApproval': 'firing', 'UpdateTierLeaseOld': 'firing',
              'UpdateTierFrozen': 'pending', 'UpdateTierAbortedStillRuns': 'pending'}
    try:
        eventually(lambda: states() == wanted)
    except AssertionError:
        same(sorted(states().items()), sorted(wanted.items()))
        raise


def mistakes(dashboard):
    """The mistakes in the queries of a dashboard: names of metrics that are not served, and
    queries that find nothing."""
    wrong = []
    for panel in dashboard['panels']:
        for target in panel['targets']:
            expression = re.sub(r'\$(database|package)', '.*', target['expr'])
            wrong += [f'{name} is not served' for name in re.findall(r'\bsql_\w+', expression)
                      if name not in METRICS | {'sql_exporter_last_scrape_failed'}]
            if not value_of(expression):
                wrong.append(f"{panel['title']}: {expression} finds nothing")
    for variable in dashboard['templating']['list']:
        if variable['type'] == 'query':
            metric, label = re.fullmatch(r'label_values\((.*), (\w+)\)', variable['definition']).groups()
            if not [row for row in value_of(re.sub(r'\$\w+', '.*', metric)) if label in row['metric']]:
                wrong.append(f"variable {variable['name']} has no values")
    return wrong


@test('every query of the dashboard finds something')
def _():
    same(mistakes(json.loads(text_of('dashboard.json'))), [])


@test('a mistake in the dashboard would be seen')
def _():
    for before, after, seen in (
            ('sql_update_tier_halted', 'sql_update_tier_stopped', 'sql_update_tier_stopped is not served'),
            ('phase=\\"aborted\\"', 'phase=\\"ended\\"', 'finds nothing'),
            ('sql_update_tier_rollouts, database', 'sql_update_tier_rollouts, db', 'variable database has no values')):
        text = text_of('dashboard.json').replace(before, after)
        assert text != text_of('dashboard.json'), before
        wrong = '\n'.join(mistakes(json.loads(text)))
        assert seen in wrong, (after, wrong)


@test('the dashboard shows every metric, and the alerts name no other')
def _():
    named = {name: set(re.findall(r'\bsql_update_tier_[a-z_]+', text_of(name))) for name in ('dashboard.json', 'alerts.yml')}
    same(named['dashboard.json'], METRICS)
    same(named['alerts.yml'] - METRICS, set())


@test('the panels of the dashboard have ids of their own and do not overlap')
def _():
    panels = json.loads(text_of('dashboard.json'))['panels']
    assert len({panel['id'] for panel in panels}) == len(panels)
    cells = [(x, y) for place in (panel['gridPos'] for panel in panels)
             for x in range(place['x'], place['x'] + place['w']) for y in range(place['y'], place['y'] + place['h'])]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) == 23


# ---- What goes wrong with monitoring itself ----

@test('a query that fails is told of, although its last values are still served')
def _():
    psql('-c', 'REVOKE SELECT ON update_tier.status FROM monitor')
    eventually(lambda: states().get('UpdateTierNotMeasured'))
    assert served()['sql_update_tier_halted']


@test('an exporter that is gone is told of')
def _():
    exporter.terminate()
    exporter.wait()
    eventually(lambda: states().get('UpdateTierExporterDown'))


for process in processes:
    process.terminate()
    process.wait()
print()
print(f"{counted['ok']} passed, {counted['FAILED']} failed")
sys.exit(1 if counted['FAILED'] else 0)
