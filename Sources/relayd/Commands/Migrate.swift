import ArgumentParser
import SystemPackage

/// `relayd migrate`: a coturn configuration in this program's words.
struct Migrate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the equivalent of a coturn configuration, and list what has none.",
        discussion: """
            What it prints is a whole configuration: keep it in a file that only its owner can read, for it holds the
            passwords and secrets of the old one, and look at it with relayd check.
            """)

    @Argument(help: "coturn's configuration, such as /etc/turnserver.conf.")
    var file: String

    func run() throws {
        let text: String
        do throws(Errno) {
            text = try TextFile.read(file)
        } catch {
            throw Exit.start(
                StartError("\(file) cannot be read: \(error). Name the configuration of coturn.", .configuration))
        }
        print(Migration(CoturnFile(text), from: file).text, terminator: "")
    }
}
