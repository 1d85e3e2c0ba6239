/** The filters above the list of traces. */
import { ClearOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Cascader, Checkbox, DatePicker, Input, InputNumber, Select } from "antd";
import dayjs from "dayjs";
import { useState } from "react";

import { api, content } from "../api/client.ts";
import { NOTHING, RANGES, rangeOf, type Filters } from "../filters.ts";
import { useText } from "../text/index.ts";
import { upTo, useChildren, useUnitNames } from "../units.ts";
import { useMe } from "../who.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

type Props = { filters: Filters; change: (changes: Filters) => void };

export function FilterBar({ filters, change }: Props) {
  const t = useText();
  const services = useQuery({
    queryKey: ["services"],
    queryFn: ({ signal }) => content(api.GET("/console/v1/services", { signal })),
    staleTime: 60_000,
  });
  const items = services.data?.items ?? [];
  const chosen = items.filter((item) => !filters.service || item.service === filters.service);
  const operations = [...new Set(chosen.flatMap((item) => item.operations))].sort();
  const range = rangeOf(filters);

  return (
    <div className="filters" role="search">
      <Select
        aria-label={t.filters.service}
        placeholder={t.filters.service}
        value={filters.service ?? null}
        options={items.map(({ service }) => ({ value: service, label: service }))}
        onChange={(service: string | null) => change({ service: service ?? "", operation: "" })}
        loading={services.isPending}
        allowClear
        showSearch
        style={{ width: 136 }}
      />
      <Select
        aria-label={t.filters.operation}
        placeholder={t.filters.operation}
        value={filters.operation ?? null}
        options={operations.map((operation) => ({ value: operation, label: operation, title: operation }))}
        onChange={(operation: string | null) => change({ operation: operation ?? "" })}
        loading={services.isPending}
        allowClear
        showSearch
        popupMatchSelectWidth={380}
        style={{ width: 210 }}
      />
      <Place unit={filters.unit} change={(unit) => change({ unit })} />
      <Typed
        key={`slower ${filters.slower_than}`}
        value={filters.slower_than}
        change={(slower_than) => change({ slower_than })}
        input={(props) => (
          <InputNumber<string>
            aria-label={t.filters.slower}
            placeholder={t.filters.slower}
            min="0"
            suffix="ms"
            controls={false}
            style={{ width: 128 }}
            defaultValue={props.value ?? ""}
            onPressEnter={(event) => props.done((event.target as HTMLInputElement).value)}
            onBlur={(event) => props.done(event.target.value)}
          />
        )}
      />
      <Typed
        key={`subject ${filters.subject}`}
        value={filters.subject}
        wrong={(text) => text !== "" && !UUID.test(text)}
        change={(subject) => change({ subject: subject.toLowerCase() })}
        input={(props) => (
          <Input
            aria-label={t.filters.subject}
            placeholder={t.filters.subject}
            title={props.wrong ? t.filters.subjectWrong : ""}
            status={props.wrong ? "error" : ""}
            allowClear
            style={{ width: 158 }}
            defaultValue={props.value}
            onPressEnter={(event) => props.done(event.currentTarget.value)}
            onBlur={(event) => props.done(event.currentTarget.value)}
            onClear={() => props.done("")}
          />
        )}
      />
      <Checkbox
        checked={Boolean(filters.error)}
        onChange={(event) => change({ error: event.target.checked ? "true" : "" })}
      >
        {t.filters.error}
      </Checkbox>
      <Select
        aria-label={t.filters.range}
        value={range}
        options={[...Object.keys(RANGES), "custom"].map((value) => ({
          value,
          label: t.filters.ranges[value as typeof range],
        }))}
        onChange={(value) =>
          change(
            value === "custom"
              ? { range: "", since: dayjs().subtract(1, "hour").toISOString(), until: dayjs().toISOString() }
              : { range: value, since: "", until: "" },
          )
        }
        style={{ width: 128 }}
      />
      {range === "custom" && (
        <DatePicker.RangePicker
          showTime
          allowClear={false}
          value={[dayjs(filters.since), filters.until ? dayjs(filters.until) : dayjs()]}
          onChange={(times) =>
            times?.[0] && change({ since: times[0].toISOString(), until: times[1]?.toISOString() ?? "" })
          }
        />
      )}
      {Object.keys(filters).length > 0 && (
        <Button
          type="text"
          icon={<ClearOutlined />}
          aria-label={t.filters.clear}
          title={t.filters.clear}
          onClick={() => change(NOTHING)}
        />
      )}
    </div>
  );
}

/** District, then street, by name. */
function Place({ unit, change }: { unit: string | undefined; change: (unit: string) => void }) {
  const t = useText();
  const me = useMe();
  const [open, setOpen] = useState<string | null>(null);
  const home = me?.unit ?? null;
  const called = useUnitNames([unit, home]);
  const platform = home === "0";
  const districts = useChildren(platform ? "0" : null);
  const roots = platform ? districts : home ? [{ code: home.slice(0, 6), name: called(home.slice(0, 6)) }] : [];
  const opened = open ?? (unit ? unit.slice(0, 6) : null);
  const streets = useChildren(opened);
  const options = roots.map(({ code, name }) => ({
    value: code,
    label: name,
    isLeaf: false,
    ...(code === opened && streets.length
      ? { children: streets.map((street) => ({ value: street.code, label: street.name })) }
      : {}),
  }));
  return (
    <Cascader
      aria-label={t.filters.unit}
      placeholder={t.filters.unit}
      options={options}
      value={unit ? upTo(unit) : []}
      displayRender={() => called(unit)}
      loadData={(path) => setOpen(String(path.at(-1)?.value ?? ""))}
      onChange={(path?: (string | number | null)[]) => change(String(path?.at(-1) ?? ""))}
      changeOnSelect
      allowClear
      style={{ width: 148 }}
    />
  );
}

type TypedInput = { value: string | undefined; wrong: boolean; done: (text: string) => void };

/** Text that counts when it is finished, by Enter or by leaving the field. */
function Typed(props: {
  value: string | undefined;
  change: (text: string) => void;
  wrong?: (text: string) => boolean;
  input: (props: TypedInput) => React.ReactNode;
}) {
  const [wrong, setWrong] = useState(false);
  const done = (text: string): void => {
    const clean = text.trim();
    const isWrong = props.wrong?.(clean) ?? false;
    setWrong(isWrong);
    if (!isWrong && clean !== (props.value ?? "")) props.change(clean);
  };
  return props.input({ value: props.value, wrong, done });
}
