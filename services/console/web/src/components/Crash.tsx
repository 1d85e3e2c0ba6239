/** Keeps a fault of one page from taking the whole screen. */
import { Button, Result } from "antd";
import { Component, type ReactNode } from "react";

import { SpeechContext } from "../text/index.ts";

export class Crash extends Component<{ children: ReactNode }, { failed: string | null }> {
  static override contextType = SpeechContext;
  declare context: React.ContextType<typeof SpeechContext>;
  override state = { failed: null };

  static getDerivedStateFromError(error: unknown): { failed: string } {
    return { failed: String(error) };
  }

  override render(): ReactNode {
    const { t } = this.context;
    if (this.state.failed === null) return this.props.children;
    // A release took away the files this page was built with: loading again brings the new ones.
    return (
      <Result
        status="error"
        title={t.problem.crashed}
        subTitle={this.state.failed}
        extra={
          <Button type="primary" onClick={() => location.reload()}>
            {t.problem.reload}
          </Button>
        }
      />
    );
  }
}
