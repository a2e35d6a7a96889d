import ArgumentParser

/// `relayd options`: the reference of all keys, from the list that the program itself reads.
struct ShowOptions: ParsableCommand {
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case markdown, man, yaml
    }

    static let configuration = CommandConfiguration(
        commandName: "options",
        abstract: "Print the reference of all options: a page, the manual, or a file to begin with.")

    @Option(
        help: "markdown: docs/configuration.md; man: relayd(8); yaml: a configuration with every key commented out.")
    var format: Format = .markdown

    func run() throws {
        switch format {
        case .markdown: print(MarkdownReference.text, terminator: "")
        case .man: print(ManualPage.text, terminator: "")
        case .yaml: print(SampleConfiguration.text, terminator: "")
        }
    }
}
